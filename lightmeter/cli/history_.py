"""``lightmeter history import`` and ``lightmeter history show``."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lightmeter import secret
from lightmeter.cli import demand_, verify_
from lightmeter.cli.options import as_json
from lightmeter.cli.steps import Tell, steps


if TYPE_CHECKING:  # a room is imported when its command runs
    from planner.importers import Imported


@click.group("history")
def command() -> None:
    """Import and look at usage history."""


for _more in (demand_.command, verify_.verify, verify_.repair):
    command.add_command(_more)

PROMETHEUS = "prometheus"
FORMATS = ("gentd26", "csv", "azure-llm", "katz", "diffusiondb", PROMETHEUS)


@command.command("import")
@click.argument("format_", metavar="FORMAT", type=click.Choice(FORMATS))
@click.argument("source", metavar="SOURCE")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder of usage history to add to.",
)
@click.option(
    "--column",
    "mapping",
    metavar="OURS=THEIRS",
    multiple=True,
    help="csv: the file's name of a usage column. Again for more.",
)
@click.option("--service", default="", help="Service of rows that have none.")
@click.option(
    "--since", metavar="TIME", help="prometheus: first day, like 2026-11-01 or 15d.  [default: 30d]"
)
@click.option("--until", metavar="TIME", help="prometheus: end, not included.  [default: now]")
@click.option("--step", metavar="DURATION", help="prometheus: how finely to ask.  [default: 1m]")
@click.option(
    "--bearer-token-file",
    type=click.Path(path_type=Path),
    help="prometheus: file with the token to send.",
)
@as_json
def import_(format_: str, source: str, out: Path, **options: Any) -> None:
    """Turn a trace or a table into usage rows.

    A file is read under any name, plain, as .gz or .tar.gz: the columns decide. Importing the same
    file or day again changes nothing. What the source does not know stays empty.

    \b
    FORMAT gentd26      request log of Alibaba's cluster-trace-v2026-GenAI
           csv          a table of your own, its columns named like ours or by --column
           azure-llm    AzureLLMInferenceTrace: a language model's arrivals, no image demand
           katz         request trace of Katz (T2I-Model-Serving-Request-Trace)
           diffusiondb  metadata.parquet of DiffusionDB
           prometheus   SOURCE is the URL of a Prometheus or of what speaks its API

    \b
    Examples:
      lightmeter history import csv jobs.csv --column arrived_at=created --service fox --out history
      lightmeter history import prometheus http://localhost:9090 --since 15d --out history
    """
    from lightmeter import history

    _check_options(format_, options)
    read = _from_prometheus if format_ == PROMETHEUS else _from_file
    with steps() as tell:
        table, stem, notes = read(format_, source, out, options, tell)
        tell(1, 1, "writing")
        history.write(table, out, stem)
    _imported(table.num_rows, out, notes, as_json=options["as_json"])


def _check_options(format_: str, options: dict[str, Any]) -> None:
    """Refuse an option that this format has no use for."""
    only = {"mapping": "csv", "since": PROMETHEUS, "until": PROMETHEUS, "step": PROMETHEUS, "bearer_token_file": PROMETHEUS}  # fmt: skip
    for name, wanted in only.items():
        if options[name] and format_ != wanted:
            flag = "--column" if name == "mapping" else "--" + name.replace("_", "-")
            raise click.UsageError(f"{flag} is for {wanted}, not for {format_}")
    if options["service"] and format_ == PROMETHEUS:
        raise click.UsageError("--service is for files; a Prometheus names the services itself")


def _from_file(
    format_: str, source: str, _out: Path, options: dict[str, Any], tell: Tell
) -> Imported:
    from planner import importers

    tell(0, 1, "reading")
    return importers.read(
        format_, Path(source), mapping=_mapping(options["mapping"]), service=options["service"]
    )


def _from_prometheus(
    _format: str, source: str, out: Path, options: dict[str, Any], tell: Tell
) -> Imported:
    from lightmeter.units import parse_duration
    from planner import from_prometheus

    now = datetime.now(UTC)
    span = from_prometheus.days(
        from_prometheus.moment(options["since"] or "30d", now),
        from_prometheus.moment(options["until"], now) if options["until"] else now,
        parse_duration(options["step"] or "1m"),
    )
    path = options["bearer_token_file"]
    token = secret.word(path, "bearer token") or None
    found = from_prometheus.read(source, span, token=token, tell=tell)
    return from_prometheus.without_poorer(found, out)


def _mapping(given: tuple[str, ...]) -> dict[str, str]:
    """Read the ``--column`` options."""
    pairs = [text.partition("=") for text in given]
    for ours, equals, theirs in pairs:
        if not equals or not ours or not theirs:
            raise click.UsageError(f"--column {ours + equals + theirs!r} is not understood; write it OURS=THEIRS")  # fmt: skip
    return {ours: theirs for ours, _, theirs in pairs}


def _imported(count: int, out: Path, notes: list[str], *, as_json: bool) -> None:
    """Say what was imported, what must be said of it, and what the folder holds now."""
    from lightmeter.history import History

    summary = History(out).summary()
    for note in notes:
        click.echo(f"note: {note}", err=True)
    if as_json:
        click.echo(json.dumps(summary | {"imported": count, "notes": notes}, indent=2))
    else:
        click.echo(f"{count} rows imported into {out}")
        _show(summary)


@command.command("show")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@as_json
def show(folder: Path, as_json: bool) -> None:  # noqa: FBT001
    """Count the rows of a history folder: in all, and for each service and outcome; mean ratings.

    \b
    Example:
      lightmeter history show lightmeter-data/history --json
    """
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
