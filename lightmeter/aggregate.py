"""Usage by the hour: one query in plain SQL, for every engine that has rows to sum.

A *cell* is an hour (UTC), a service, an outcome and a bucket of waits. Counts, sums and peaks of
cells add up to those of days, months and fleets, and so do their percentiles: buckets are counted,
not averaged. DuckDB runs it here, within `MEMORY` and on files larger than that; another engine runs
the same words on a view ``usage`` with the columns `READS`.
"""

from __future__ import annotations

import contextlib
import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from lightmeter import rows
from lightmeter.errors import HistoryError
from lightmeter.tables import SCHEMA as USAGE


if TYPE_CHECKING:  # loaded when there is something to sum
    import duckdb
    import pandas as pd

HOUR_US = 3_600_000_000
FACTOR, LEAST_WAIT = 1.3, 0.001
"""A bucket of waits ends at `FACTOR` times its beginning; what is shorter than `LEAST_WAIT` seconds
lies in the first. The factor is that of the latency metrics."""
_FIRST = math.floor(math.log(LEAST_WAIT) / math.log(FACTOR))
MEMORY = "400MB"
READS = (
    "arrived_us",
    "service",
    "outcome",
    "queue_seconds",
    "service_seconds",
    "gpu_seconds",
    "images",
    "peak_vram_bytes",
    "feedback",
    "priority",
    "anomaly",
)
"""What the query reads: arrival in microseconds since 1970, the rest as in `rows.UsageRow`."""
_STRANGE = " or ".join(
    f"not ({name} is null or {name} in ({', '.join(repr(str(word)) for word in words)}))"
    for name, words in rows.CLOSED.items()
)
QUERY = f"""
select
  cast(floor(arrived_us / {HOUR_US}.0) as bigint) as hour,
  service,
  outcome,
  case when queue_seconds is null then null
       when queue_seconds <= {LEAST_WAIT} then {_FIRST}
       else cast(floor(ln(queue_seconds) / {math.log(FACTOR)!r}) as integer) end as wait_bucket,
  count(*) as requests,
  sum(coalesce(gpu_seconds, service_seconds, 0.0)) as gpu_seconds,
  sum(coalesce(images, 1)) as images,
  max(peak_vram_bytes) as peak_vram_bytes,
  count(feedback) as ratings,
  sum(coalesce(feedback, 0)) as stars,
  min(arrived_us) as first_us,
  max(arrived_us) as last_us,
  sum(case when {_STRANGE} then 1 else 0 end) as strange
from usage
group by 1, 2, 3, 4
"""  # noqa: S608  (made of constants alone)
"""``gpu_seconds`` of a request is its share of the batch, else its whole service time, and lies in
the hour of its arrival; ``strange`` counts the rows with a word outside its vocabulary."""
SCHEMA = pa.schema(
    [
        ("hour", pa.int64()),
        ("service", pa.string()),
        ("outcome", pa.string()),
        ("wait_bucket", pa.int32()),
        ("requests", pa.int64()),
        ("gpu_seconds", pa.float64()),
        ("images", pa.int64()),
        ("peak_vram_bytes", pa.int64()),
        ("ratings", pa.int64()),
        ("stars", pa.int64()),
        ("first_us", pa.int64()),
        ("last_us", pa.int64()),
        ("strange", pa.int64()),
    ]
)


@dataclass(frozen=True)
class Source:
    """What to sum: Parquet files of usage rows, tables of them, and late stars by request id.

    ``since`` and ``until``, microseconds since 1970, leave out what arrived before or from then on.
    """

    files: Sequence[Path]
    tables: Sequence[pa.Table] = ()
    stars: pa.Table | None = None
    since: int | None = None
    until: int | None = None


def cells(source: Source) -> pa.Table:
    """Sum a history with DuckDB; a table of `SCHEMA`, in no order.

    Raises:
        HistoryError: a file is unreadable.
    """
    import duckdb

    with _database() as database:
        try:
            database.execute(_view(database, source))
            return database.execute(QUERY).to_arrow_table().cast(SCHEMA)
        except duckdb.Error as error:  # a file that was there a moment ago
            reason = " ".join(str(error).split())[:300]
            raise HistoryError(f"the history cannot be summed: {reason}; lightmeter history verify tells which file is bad") from error  # fmt: skip


@contextlib.contextmanager
def _database() -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a database in memory that spills to a folder of its own and asks nobody for anything."""
    import duckdb

    settings: dict[str, str | bool | int | float | list[str]] = {"memory_limit": MEMORY, "preserve_insertion_order": False, "autoinstall_known_extensions": False}  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="lightmeter-") as spill, duckdb.connect(config=settings | {"temp_directory": spill}) as database:  # fmt: skip
        database.execute("set enable_progress_bar = false")  # it would be in what we print
        yield database


def _view(database: duckdb.DuckDBPyConnection, source: Source) -> str:
    """Say what ``usage`` is in DuckDB: files and tables by column name, NaN as unknown."""
    stored = [rows_table for rows_table in source.tables if rows_table.num_rows]
    for number, table in enumerate(stored):
        database.register(f"part_{number}", table)
    parts = [f"from part_{number}" for number in range(len(stored))]
    if source.files:
        parts.append(f"from read_parquet({_listed(source.files)}, union_by_name = true, hive_partitioning = false)")  # fmt: skip
    database.register("nothing", USAGE.empty_table())
    every = " union all by name ".join(["select * from nothing", *parts])
    stars = "u.feedback"
    joined = ""
    if source.stars is not None and source.stars.num_rows:
        database.register("late", source.stars)
        stars, joined = "coalesce(l.feedback, u.feedback)", "left join late l using (request_id)"
    others = (name for name in READS if name not in ("arrived_us", "feedback"))
    taken = ", ".join(f"case when isnan(u.{name}) then null else u.{name} end as {name}" if name in rows.NUMBERS else f"u.{name}" for name in others)  # fmt: skip
    return (
        f"create temp view usage as select epoch_us(u.arrived_at) as arrived_us, {taken}, {stars} as feedback "  # noqa: S608  (names of ours, and paths in quotes)
        f"from ({every}) u {joined} where {_within(source)}"
    )


def _listed(files: Sequence[Path]) -> str:
    return "[" + ", ".join("'" + str(path).replace("'", "''") + "'" for path in files) + "]"


def _within(source: Source) -> str:
    bounds = [f"epoch_us(u.arrived_at) >= {source.since}" if source.since is not None else ""]
    bounds += [f"epoch_us(u.arrived_at) < {source.until}" if source.until is not None else ""]
    return " and ".join(bound for bound in bounds if bound) or "true"


def demand(table: pa.Table, hours: int = 1) -> pd.DataFrame:
    """Roll cells up to a row for each service and so many hours, ordered by both.

    ``busy_gpus`` is GPU seconds over the seconds of those hours; a column for each outcome counts
    its requests; waits are read from the buckets, NaN where none is known. ``begin`` is in UTC.
    """
    import pandas as pd

    frame = table.to_pandas()
    frame["begin"] = pd.to_datetime(frame["hour"] // hours * hours * 3600, unit="s", utc=True)
    by = ["begin", "service"]
    sums = {"requests": "sum", "gpu_seconds": "sum", "images": "sum", "peak_vram_bytes": "max"}
    found = frame.groupby(by, dropna=False).agg(sums)
    found["busy_gpus"] = found["gpu_seconds"] / (hours * 3600)
    for name in rows.CLOSED["outcome"]:
        mine = frame["requests"].where(frame["outcome"] == name, 0)
        found[name] = mine.groupby([frame["begin"], frame["service"]], dropna=False).sum()
    for name, share in (("wait_p50_seconds", 0.5), ("wait_p95_seconds", 0.95)):
        found[name] = _quantiles(frame, by, share)
    whole: pd.DataFrame = found.reset_index()
    return whole


def _quantiles(frame: pd.DataFrame, by: list[str], share: float) -> pd.Series[float]:
    """Wait that this share of each group's requests does not exceed, to within a bucket.

    Within the bucket it is interpolated as if waits lay evenly in it.
    """
    known = frame.dropna(subset=["wait_bucket"])
    merged = known.groupby([*by, "wait_bucket"], dropna=False)["requests"].sum().reset_index()
    groups = merged.groupby(by, dropna=False)["requests"]
    wanted, upto = groups.transform("sum") * share, groups.cumsum()
    reached = merged[upto >= wanted - 1e-9]
    first = reached.groupby(by, dropna=False).head(1)
    inside = (wanted - (upto - merged["requests"]))[first.index] / first["requests"]
    begin = (FACTOR ** first["wait_bucket"]).where(first["wait_bucket"] > _FIRST, 0.0)
    width = FACTOR ** (first["wait_bucket"] + 1) - begin
    return first.assign(wait=begin + width * inside).set_index(by)["wait"]


def counts(table: pa.Table, column: str, weight: str = "requests") -> list[tuple[str | None, int]]:
    """Sum a count over the cells of each value of a column."""
    grouped = table.group_by(column).aggregate([(weight, "sum")])
    names, sums = grouped[column].to_pylist(), grouped[f"{weight}_sum"].to_pylist()
    return list(zip(names, sums, strict=True))


def only_known_words(table: pa.Table) -> bool:
    """Tell whether no row has a word outside its column's vocabulary."""
    return not pc.any(pc.greater(table["strange"], 0)).as_py()


_IDS = "(select request_id, filename, file_row_number as place from read_parquet({names}, union_by_name = true, hive_partitioning = false, filename = true, file_row_number = true))"
_LATER = """
with ids as {ids},
twice as (select request_id from ids group by 1 having count(*) > 1),
numbered as (select ids.*, row_number() over (partition by request_id order by filename, place) as nth from ids semi join twice using (request_id))
select filename, place, request_id from numbered where nth > 1
"""


def _later(files: Sequence[Path]) -> list[tuple[str, int, str]]:
    """List file, place in it and id of every row whose request is there before."""
    import duckdb

    if not files:
        return []
    with _database() as database:
        try:
            query = _LATER.format(ids=_IDS.format(names=_listed(files)))
            return database.execute(query).fetchall()
        except duckdb.Error as error:
            raise HistoryError(f"the ids cannot be held against each other: {' '.join(str(error).split())[:300]}") from error  # fmt: skip


def repeated(files: Sequence[Path]) -> dict[Path, tuple[int, str]]:
    """Count the rows of each file whose request is there before, with an id; others are left out.

    Before is in the order of file names, and then of rows.

    Raises:
        HistoryError: a file is unreadable.
    """
    found: dict[Path, tuple[int, str]] = {}
    for name, _, request in sorted(_later(files)):
        count, example = found.get(Path(name), (0, request))
        found[Path(name)] = count + 1, example
    return found


def known_ids(ids: Sequence[str], files: Sequence[Path]) -> set[str]:
    """Tell which of these requests the files have.

    Raises:
        HistoryError: a file is unreadable.
    """
    import duckdb

    if not files or not ids:
        return set()
    with _database() as database:
        database.register("asked", pa.table({"request_id": pa.array(ids, pa.string())}))
        try:
            query = f"select distinct request_id from asked semi join {_IDS.format(names=_listed(files))} as stored using (request_id)"  # fmt: skip  # noqa: S608  (names of ours, and paths in quotes)
            return {name for (name,) in database.execute(query).fetchall()}
        except duckdb.Error as error:
            raise HistoryError(f"the ids cannot be held against each other: {' '.join(str(error).split())[:300]}") from error  # fmt: skip


def firsts(path: Path, files: Sequence[Path], rows_there: int) -> list[bool]:
    """Tell of each row of a file whether its request is there for the first time.

    Raises:
        HistoryError: a file is unreadable.
    """
    later = {place for name, place, _ in _later(files) if Path(name) == path}
    return [place not in later for place in range(rows_there)]
