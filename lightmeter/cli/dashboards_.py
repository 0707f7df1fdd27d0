"""``lightmeter dashboards generate``, ``check`` and ``publish``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from lightmeter.cli.dashboards_publish_ import publish
from lightmeter.cli.options import as_json
from lightmeter.cli.written import put


@click.group("dashboards")
def command() -> None:
    """Dashboards for Grafana: make them, check them, publish them."""


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
