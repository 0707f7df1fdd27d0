"""``lightmeter history import`` and ``lightmeter history show``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from lightmeter.cli.options import as_json


@click.group("history")
def command() -> None:
    """Import and look at usage history."""


@command.command("import")
@click.argument("format_", metavar="FORMAT", type=click.Choice(["gentd26"]))
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder of usage history to add to.",
)
@as_json
def import_(format_: str, source: Path, out: Path, as_json: bool) -> None:  # noqa: FBT001
    """Turn a trace into usage rows.

    FORMAT gentd26 is the request log of Alibaba's cluster-trace-v2026-GenAI, as .csv, .csv.gz or
    .tar.gz, under any name: the columns decide. Importing the same file again changes nothing.
    """
    from lightmeter import history
    from planner import importers

    table, stem = importers.read(format_, source)
    history.write(table, out, stem)
    summary = history.History(out).summary()
    if as_json:
        click.echo(json.dumps(summary, indent=2))
    else:
        click.echo(f"{table.num_rows} rows imported into {out}")
        _show(summary)


@command.command("show")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@as_json
def show(folder: Path, as_json: bool) -> None:  # noqa: FBT001
    """Count the rows of a history folder: in all, and for each service and outcome; mean ratings."""
    from lightmeter.history import History

    history = History(folder)
    summary = history.summary()
    for note in history.notes:
        click.echo(f"note: {note}", err=True)
    if as_json:
        click.echo(json.dumps(summary | {"notes": history.notes}, indent=2))
    else:
        _show(summary)


def _show(summary: dict[str, Any], most: int = 12) -> None:
    click.echo(f"rows      {summary['rows']}")
    click.echo(f"first     {summary['first']}")
    click.echo(f"last      {summary['last']}")
    rated = {
        f"{name}, {given['mean_stars']:.2f} stars on average": given["ratings"]
        for name, given in summary["feedback"].items()
    }
    for kind in ("services", "outcomes", "feedback"):
        counts = rated if kind == "feedback" else summary[kind]
        for index, (name, count) in enumerate(list(counts.items())[:most]):
            click.echo(f"{kind if index == 0 else '':9} {count:>9}  {name}")
        if len(counts) > most:
            click.echo(f"{'':9} {'':9}  and {len(counts) - most} more; --json lists all")
