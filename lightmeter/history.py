"""Usage history: a folder of Parquet files and journals that reads as one.

``DIR/date=YYYY-MM-DD/*.parquet`` holds what is sealed, ``DIR/_journal/*.jsonl`` what is not yet.
Sealing a journal writes ``date=.../STEM.parquet`` for each of its days and then removes it. A crash
in between leaves both; a reader that finds the Parquet file skips those rows of the journal.
``DIR/_late/*.jsonl`` holds the ratings, which are laid over the ``feedback`` column when it is read.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from lightmeter import aggregate, footers, journal, late, parquet, rows
from lightmeter.errors import HistoryError
from lightmeter.tables import rated, stars_of, table_of, validated


if TYPE_CHECKING:  # sealing needs none of it, and importing it takes longer than sealing
    import pandas as pd

_log = logging.getLogger(__name__)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
UNKNOWN = "unknown"
"""How a null service or outcome is called where a name is needed."""


def write(table: pa.Table, folder: Path, stem: str) -> int:
    """Write a table of `SCHEMA` under the history folder, a file for each day; return its rows.

    The same stem written again replaces its files, so an import can be repeated. Each file appears
    whole or not at all.

    Raises:
        HistoryError: the folder cannot be written, or a row is invalid.
    """
    table = validated(table, stem).sort_by("arrived_at")
    # without a zone the day is UTC's, and no time-zone database is needed
    days = table["arrived_at"].cast(pa.timestamp("us")).cast(pa.date32())
    for day in pc.unique(days).to_pylist():
        parquet.write(table.filter(pc.equal(days, day)), folder / f"date={day}" / f"{stem}.parquet")
    return int(table.num_rows)


def seal(folder: Path, path: Path) -> int:
    """Turn a journal that nobody writes any more into Parquet; return its rows.

    Raises:
        HistoryError: the journal is unreadable or the folder cannot be written.
    """
    try:
        found = journal.scan(path)
    except HistoryError:
        if path.exists():
            raise
        return 0  # another server sealed it meanwhile
    if found.torn:
        _log.warning("journal %s: the last row was cut short by a crash and is left out", path)
    if found.rows:
        write(table_of(found.rows), folder, path.stem)
    path.unlink(missing_ok=True)
    return len(found.rows)


def seal_orphans(folder: Path) -> int:
    """Seal the journals whose writers are gone; return the rows moved.

    A journal that cannot be sealed stays where it is and is logged; the others are sealed.
    """
    moved = 0
    for path in journal.journals(folder):
        if journal.is_live(path):
            continue
        try:
            moved += seal(folder, path)
        except HistoryError as error:
            _log.warning("journal %s is not sealed: %s", path.name, error)
    return moved


class History:
    """A history folder, opened for reading. ``notes`` says what was dropped on the way."""

    def __init__(self, folder: Path) -> None:
        """Open the folder.

        Raises:
            HistoryError: it does not exist or holds no history.
        """
        self.folder = folder
        self.notes: list[str] = []
        self.extent: tuple[datetime, datetime] | None = None
        if not folder.exists():
            raise HistoryError(
                f"history {str(folder)!r} does not exist; make one with 'lightmeter up' or 'lightmeter history import'"
            )
        if not folder.is_dir():
            raise HistoryError(
                f"history {str(folder)!r} is a file, not a folder; name the folder that holds date=YYYY-MM-DD/"
            )
        if not journal.journals(folder) and not self._files():
            inner = folder / "history"
            hint = (
                f"; did you mean {str(inner)!r}?"
                if inner.is_dir()
                else "; name the folder that holds date=YYYY-MM-DD/"
            )
            raise HistoryError(f"history {str(folder)!r} holds no usage rows{hint}")

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("date=*/*.parquet"))

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Yield the history a file at a time, journals first, each a validated table.

        Raises:
            HistoryError: a file is unreadable, has wrong columns or an invalid row.
        """
        wanted = list(columns or rows.COLUMNS)
        stars = stars_of(self._stars() if "feedback" in wanted else {})
        for table in self._stored():
            yield rated(table, stars).select(wanted)

    def _stars(self) -> dict[str, int]:
        """Read the ratings that came after the answers: stars by request id."""
        found = late.ratings(self.folder)
        self.notes += [note for note in found.notes if note not in self.notes]
        return {name: rating.score for name, rating in found.newest.items()}

    def _stored(self) -> Iterator[pa.Table]:
        """Yield what journals and Parquet files say, each a validated table of `SCHEMA`."""
        unsealed, files = self._parts()
        yield from unsealed
        for path in files:
            yield parquet.read(path)

    def _parts(self) -> tuple[list[pa.Table], list[Path]]:
        """Read what is in journals alone, and list the Parquet files."""
        unsealed = [(path, self._scan(path)) for path in journal.journals(self.folder)]
        files = self._files()  # listed after the journals are read: a seal meanwhile loses nothing
        sealed = {(path.parent.name, path.stem) for path in files}
        tables = []
        for path, usage in unsealed:
            kept = [
                row for row in usage if (f"date={row.arrived_at:%Y-%m-%d}", path.stem) not in sealed
            ]
            if kept:
                tables.append(table_of(kept))
        return tables, files

    def _scan(self, path: Path) -> list[rows.UsageRow]:
        try:
            found = journal.scan(path)
        except HistoryError:
            if path.exists():
                raise
            return []  # sealed between listing and reading
        note = f"{path}: the last row was cut short by a crash and is left out; {len(found.rows)} whole rows read"
        if found.torn and note not in self.notes and not journal.is_live(path):
            self.notes.append(note)
        return found.rows

    def frame(
        self,
        columns: Sequence[str],
        *,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> pd.DataFrame:
        """Read the rows that arrived in [since, until), ordered by arrival.

        Afterwards ``extent`` holds the first and last arrival of the whole history.
        """
        wanted = list(dict.fromkeys(["arrived_at", *columns]))
        parts: list[pd.DataFrame] = [table_of([]).select(wanted).to_pandas()]
        arrivals: list[datetime] = []
        for table in self.tables(wanted):
            arrivals += _bounds(table)
            parts.append(_within(table.to_pandas(), since, until))
        self.extent = (min(arrivals), max(arrivals)) if arrivals else None
        filled = [part for part in parts if len(part)] or parts[:1]
        import pandas as pd

        whole = pd.concat(filled, ignore_index=True)
        return whole.sort_values("arrived_at", kind="stable", ignore_index=True)

    def cells(self, *, since: datetime | None = None, until: datetime | None = None) -> pa.Table:
        """Sum the rows that arrived in [since, until): cells of `aggregate.SCHEMA`.

        Files are summed where they lie, whatever their number; rows that cannot be are refused as
        by `tables`.

        Raises:
            HistoryError: a file is unreadable, has wrong columns or an invalid row.
        """
        stars = stars_of(self._stars())
        unsealed, files = self._parts()
        bounds = {name: int(at.timestamp() * 1_000_000) for name, at in (("since", since), ("until", until)) if at}  # fmt: skip
        typed = [path for path in files if parquet.has_types(path)]
        try:
            plain = footers.plain(typed)
            odd = [parquet.read(path) for path in files if path not in plain]
            found = aggregate.cells(
                aggregate.Source(sorted(plain), [*unsealed, *odd], stars, **bounds)
            )
        except HistoryError:
            self._read_all()
            raise
        if not aggregate.only_known_words(found):
            self._read_all()
        return found

    def _read_all(self) -> None:
        """Read everything, which refuses the first file or row that is wrong by its name."""
        for _ in self.tables():
            pass

    def summary(self) -> dict[str, Any]:
        """Count the rows: in all, for each service and outcome; the ratings; first, last arrival."""
        cells = self.cells()
        services, outcomes, given, stars = (
            Counter({name or UNKNOWN: count for name, count in aggregate.counts(cells, *of)})
            for of in (("service",), ("outcome",), ("service", "ratings"), ("service", "stars"))
        )
        return {
            "rows": services.total(),
            "first": _moment(pc.min(cells["first_us"]).as_py()),
            "last": _moment(pc.max(cells["last_us"]).as_py()),
            "services": dict(services.most_common()),
            "outcomes": dict(outcomes.most_common()),
            "feedback": {
                name: {"ratings": count, "mean_stars": stars[name] / count}
                for name, count in given.most_common()
                if count
            },
        }


def _moment(us: int | None) -> str | None:
    return None if us is None else (_EPOCH + timedelta(microseconds=us)).isoformat()


def _bounds(table: pa.Table) -> list[datetime]:
    """First and last arrival of a table; nothing where it is empty."""
    found = pc.min_max(table["arrived_at"]).as_py()
    return [found["min"], found["max"]] if table.num_rows else []


def _within(frame: pd.DataFrame, since: datetime | None, until: datetime | None) -> pd.DataFrame:
    if since is not None:
        frame = frame[frame["arrived_at"] >= since]
    return frame if until is None else frame[frame["arrived_at"] < until]
