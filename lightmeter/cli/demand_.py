"""``lightmeter history demand``: what was asked for, by the hour or day and service."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lightmeter.cli.options import as_json
from lightmeter.cli.written import put


if TYPE_CHECKING:
    import pandas as pd

BY = {"hour": 1, "day": 24}
ENGINES = ("duckdb", "spark")


def _day(_context: click.Context, _parameter: click.Parameter, text: str | None) -> datetime | None:
    """Read a day or instant; without a zone it is UTC."""
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is not understood; write it like 2026-11-01") from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)


@click.command("demand")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--by", type=click.Choice(tuple(BY)), default="day", help="Length of a row.  [default: day]")  # fmt: skip
@click.option("--since", metavar="TIME", callback=_day, help="Leave out what arrived before, like 2026-11-01.")  # fmt: skip
@click.option("--until", metavar="TIME", callback=_day, help="Leave out what arrived then or later.")  # fmt: skip
@click.option("--csv", "table", type=click.Path(path_type=Path), help="Write the table to this file as well.")  # fmt: skip
@click.option("--engine", type=click.Choice(ENGINES), default="duckdb", help="What sums; spark is for fleets and wants pyspark and Java.  [default: duckdb]")  # fmt: skip
@click.option("--sql", is_flag=True, help="Print the query instead, for an engine of your own.")
@as_json
def command(folder: Path, **options: Any) -> None:
    """Sum a history by the hour or day and service: requests, GPU time, pictures, waits, peaks.

    Files are summed where they lie, so that a history may be larger than memory. The percentiles of
    waits come from buckets and are right to within 30 percent.

    \b
    Example:
      lightmeter history demand lightmeter-data/history --by hour --csv demand.csv
    """
    from lightmeter import aggregate

    if options["sql"]:
        click.echo(aggregate.QUERY.strip())
        return
    cells, notes = _cells(folder, options)
    found = aggregate.demand(cells, BY[options["by"]])
    for note in notes:
        click.echo(f"note: {note}", err=True)
    if options["table"]:
        path = options["table"]
        put(path.parent, {path.name: found.to_csv(index=False, date_format="%Y-%m-%dT%H:%M:%SZ")})
    if options["as_json"]:
        click.echo(json.dumps(json.loads(found.to_json(orient="records", date_format="iso")), indent=2))  # fmt: skip
    elif not options["table"]:
        _show(found)


def _cells(folder: Path, options: dict[str, Any]) -> tuple[Any, list[str]]:
    from lightmeter.history import History

    history = History(folder)
    bounds = {"since": options["since"], "until": options["until"]}
    if options["engine"] == "duckdb":
        return history.cells(**bounds), history.notes
    from lightmeter import on_spark

    note = "spark sums sealed rows only, without ratings that came later; those in journals are left out"  # fmt: skip
    return on_spark.cells(folder, **bounds), [note]


def _show(found: pd.DataFrame, most: int = 200) -> None:
    click.echo(
        f"{'begin':17} {'requests':>9} {'GPU s':>12} {'busy GPUs':>9} {'wait p95':>9}  service"
    )
    for row in found.head(most).to_dict("records"):
        wait = row["wait_p95_seconds"]
        shown = "unknown" if math.isnan(wait) else f"{wait:.1f} s"
        service = row["service"] if isinstance(row["service"], str) else "unknown"
        click.echo(f"{row['begin']:%Y-%m-%d %H:%M}  {row['requests']:>9,} {row['gpu_seconds']:>12,.1f} {row['busy_gpus']:>9.3f} {shown:>9}  {service}")  # fmt: skip
    if len(found) > most:
        click.echo(f"and {len(found) - most:,} more rows; --csv FILE or --json has all")
