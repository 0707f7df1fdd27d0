"""``lightmeter rules generate`` and ``lightmeter rules check``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lightmeter.cli.options import as_json
from lightmeter.cli.rules_check_ import check
from lightmeter.cli.written import put
from lightmeter.errors import RuleError, explain


if TYPE_CHECKING:
    from alerts.objectives import Slo
    from alerts.rule import Pack


DEFAULT_FILE = Path("slo.toml")


@click.group("rules")
def command() -> None:
    """Alerting and recording rules: make them, check them."""


command.add_command(check)


@command.command("generate")
@click.option(
    "--out",
    default="rules",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder to write to.",
)
@click.option(
    "--pack",
    "packs",
    multiple=True,
    default=("recommended",),
    show_default=True,
    help="Which rules: recommended, classic. May be given twice.",
)
@click.option(
    "--format",
    "formats",
    default="prometheus,runbook",
    show_default=True,
    help="Which files: prometheus, prometheusrule, alertmanager, tests, runbook; several with commas.",
)
@click.option(
    "--slo",
    "slo_file",
    type=click.Path(path_type=Path),
    help="Objectives, prices and changes.  [default: slo.toml, where there is one]",
)
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="KEY=VALUE",
    help="Label of the PrometheusRule, which the operator's ruleSelector asks for, like release=prometheus.",
)
@click.option(
    "--reload",
    "reload_url",
    metavar="URL",
    help="A running Prometheus that reads the folder: reload it and see that it takes the rules.",
)
@as_json
def generate(  # noqa: PLR0917  (one for each option, as click passes them)
    out: Path, packs: tuple[str, ...], formats: str, slo_file: Path | None,
    labels: tuple[str, ...], reload_url: str | None, as_json: bool,  # noqa: FBT001
) -> None:  # fmt: skip
    """Write recording and alerting rules for Prometheus.

    \b
    Into a Prometheus whose rule_files has /etc/prometheus/rules/prometheus/*.yaml:
      lightmeter rules generate --out /etc/prometheus/rules --reload http://localhost:9090
    Into a cluster with the Prometheus operator:
      lightmeter rules generate --format prometheusrule --label release=prometheus
      kubectl apply -f rules/prometheusrule/
    """
    from alerts import files

    slo = objectives(slo_file)
    wanted = tuple(word.strip() for word in formats.split(","))
    texts, made = files.generate(tuple(dict.fromkeys(packs)), slo, wanted, _labels(labels))
    put(out, texts)
    said = _reload(reload_url, made) if reload_url else None
    _report(out, texts, made, said, as_json=as_json)


def _report(
    out: Path, texts: Mapping[str, str], made: list[Pack], said: str | None, *, as_json: bool
) -> None:
    summary: dict[str, Any] = {
        "files": [str(out / name) for name in texts],
        "alerts": sum(len(pack.alerts) for pack in made),
        "tested": sum(bool(alert.trials) for pack in made for alert in pack.alerts),
        "records": sum(len(pack.records) for pack in made),
        "notes": list(dict.fromkeys(note for pack in made for note in pack.notes)),
        "prometheus": said,
    }
    if as_json:
        click.echo(json.dumps(summary, indent=2))
        return
    for note in summary["notes"]:
        click.echo(f"note: {note}", err=True)
    click.echo(
        f"{summary['alerts']} alerts, {summary['tested']} of them tested, and {summary['records']} recorded series in {len(texts)} files under {out}"
    )
    if said:
        click.echo(said)


def objectives(file: Path | None) -> Slo:
    """Read a file of objectives; None takes slo.toml, where there is one.

    Raises:
        RuleError: it cannot be read or used.
    """
    from alerts.objectives import Slo, parse

    path = file or DEFAULT_FILE
    if file is None and not path.exists():
        return Slo()
    try:
        return parse(path.read_text(), str(path))
    except OSError as error:
        raise RuleError(f"objectives {str(path)!r} {explain(error)}") from error
    except UnicodeDecodeError as error:
        raise RuleError(f"objectives {str(path)!r} are no text: {error.reason}") from error


def leading_to(slo: Slo, address: str, scrape_seconds: float) -> Slo:
    """Have links that nobody set lead to the live page at ``address``."""
    ours = {"runbook": f"{address}/runbook", "dashboards": address}
    links = slo.links.model_copy(update={key: to for key, to in ours.items() if key not in slo.links.model_fields_set})  # fmt: skip
    return slo.model_copy(update={"links": links, "scrape_interval": scrape_seconds})


def _labels(given: tuple[str, ...]) -> dict[str, str]:
    for one in given:
        if not one.partition("=")[2]:
            raise RuleError(f"label {one!r} is not understood; write it like release=prometheus")
    return {key: value for key, _, value in (one.partition("=") for one in given)}


def _reload(url: str, made: list[Pack]) -> str:
    from alerts import install

    return install.reload(url, made)
