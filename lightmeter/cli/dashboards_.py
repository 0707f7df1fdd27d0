"""``lightmeter dashboards generate``, ``check``, ``publish`` and ``serve``."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import click

from lightmeter.cli.dashboards_publish_ import publish
from lightmeter.cli.options import as_json, settings_options, settle
from lightmeter.cli.written import put
from lightmeter.settings_dashboards import Dashboards


@click.group("dashboards")
def command() -> None:
    """Dashboards: make them for Grafana, check them, publish them; show them without Grafana."""


command.add_command(publish)


@command.command("generate")
@click.option(
    "--out",
    default="dashboards",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder to write to.",
)
@click.option(
    "--format",
    "formats",
    default="json,provisioning",
    show_default=True,
    help="Which files: json, provisioning, configmap; several with commas.",
)
@click.option(
    "--runbook",
    metavar="URL",
    help="Where the names of firing alerts lead; the name is put behind its #.  [default: the live page's]",
)
@as_json
def generate(out: Path, formats: str, runbook: str | None, *, as_json: bool) -> None:
    """Write five linked dashboards for Grafana 10 and later.

    \b
    To import by hand, or for a Grafana that provisions from files:
      lightmeter dashboards generate --out grafana
    Into a cluster whose Grafana has the sidecar of its Helm chart:
      lightmeter dashboards generate --format configmap
      kubectl apply -f dashboards/configmap/
    """
    from dashboards import files

    wanted = tuple(dict.fromkeys(word.strip() for word in formats.split(",")))
    texts = files.generate(wanted, runbook or files.RUNBOOK)
    put(out, texts)
    if as_json:
        click.echo(json.dumps({"files": [str(out / name) for name in texts]}, indent=2))
    else:
        click.echo(f"{len(texts)} files under {out}")


@command.command("check")
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE..."
)
@as_json
def check(files: tuple[Path, ...], *, as_json: bool) -> int:
    """Hold dashboards against the rules of Grafana's linter, and against what is exposed.

    Exit code 1 where a rule is broken. Links may lead to any of the files given together.

    \b
    Example:
      lightmeter dashboards check dashboards/json/*.json
    """
    from dashboards.check import findings, read

    boards = {str(path): read(path) for path in files}
    found = {
        name: [one.row() for one in findings(board, list(boards.values()))]
        for name, board in boards.items()
    }
    count = sum(len(rows) for rows in found.values())
    if as_json:
        click.echo(json.dumps({"findings": count, "files": found}, indent=2))
        return int(count > 0)
    for name, rows in found.items():
        for row in rows:
            click.echo(f"{name}: {row['where']} {row['says']} ({row['rule']})")
    click.echo(f"{count} findings in {len(boards)} dashboards")
    return int(count > 0)


@command.command("serve")
@settings_options(Dashboards)
@click.pass_context
def serve(ctx: click.Context, /, **options: Any) -> None:
    """Show the boards, alerts and decisions in a browser, without Grafana.

    The page asks any Prometheus through this process and loads nothing from elsewhere, so it works
    without a way to the internet. `lightmeter up` serves the same page over its own metrics.

    \b
    Examples:
      lightmeter dashboards serve --prometheus http://prometheus:9090 --port 9091
      lightmeter dashboards serve --prometheus https://thanos.example --bearer-file token --scaler http://127.0.0.1:9402
    """
    from dashboards.live import serve as live

    live.serve(settle(ctx, Dashboards, options), click.echo, runbook=runbook_text())


def runbook_text() -> str:
    """Read the runbook of our own alerts, as Markdown: one room's words for another's page."""
    return resources.files("alerts").joinpath("runbook.md").read_text("utf-8")
