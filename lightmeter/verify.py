"""What is wrong with a history folder: every file read to its end, every id looked up. Writes nothing.

A `Finding` names the file, the kind of `Fault` and what it means. What belongs to a server that is
running is not a fault.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lightmeter import journal, late, lines, parquet
from lightmeter.errors import HistoryError
from lightmeter.units import counted


class Fault(StrEnum):
    """What can be wrong."""

    DAMAGED = "damaged"
    """The file cannot be read to its end, or a checksum disagrees."""
    NEWER = "newer"
    """A later lightmeter wrote it."""
    INVALID = "invalid"
    """A row has a value that its column cannot hold, or columns are not ours."""
    DUPLICATE = "duplicate"
    """A request is there twice."""
    MISPLACED = "misplaced"
    """Rows lie in the folder of another day."""
    TORN = "torn"
    """A crash cut the last line short."""
    PARTIAL = "partial"
    """A crash left a file that was being written."""
    AHEAD = "ahead"
    """Rows arrived later than now: some clock is wrong."""


REPAIRABLE = tuple(fault for fault in Fault if fault not in (Fault.NEWER, Fault.AHEAD))
"""What `lightmeter.repair` mends; the others need a person."""
AHEAD_MOST = timedelta(hours=1)
PARTIAL_SECONDS = 3600.0
"""A file that is being written is younger."""
Tell = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Finding:
    """Something wrong with a file of the history; ``rows`` are concerned, where that is known."""

    path: Path
    fault: Fault
    says: str
    rows: int | None = None


@dataclass(frozen=True)
class Report:
    """What was looked at, and what was found; ``versions`` counts Parquet files by schema version."""

    files: int
    rows: int
    versions: dict[str, int]
    findings: list[Finding]

    @property
    def sound(self) -> bool:
        """Tell whether nothing is wrong."""
        return not self.findings


def verify(folder: Path, now: datetime, tell: Tell) -> Report:
    """Read every file of a history and say what is wrong with it.

    Raises:
        HistoryError: the folder cannot be listed, or the ids cannot be held against each other.
    """
    if not folder.is_dir():
        raise HistoryError(f"history {str(folder)!r} is no folder; name the one that holds date=YYYY-MM-DD/")  # fmt: skip
    files = sorted(folder.glob("date=*/*.parquet"))
    journals, lates = journal.journals(folder), lines.files(folder / late.FOLDER)
    findings: list[Finding] = []
    versions: dict[str, int] = {}
    sound: list[Path] = []
    total = 0
    for number, path in enumerate(files):
        tell(number, len(files) + 1, parquet.name_of(path))
        count, found = of_parquet(path, now, versions)
        total += count
        findings += found
        if not any(finding.fault in (Fault.DAMAGED, Fault.NEWER) for finding in found):
            sound.append(path)
    for path in journals:
        count, found = _of_journal(path, now)
        total += count
        findings += found
    for path in lates:
        findings += _of_late(path)
    findings += _of_leftovers(folder)
    tell(len(files), len(files) + 1, "looking for requests that are there twice")
    findings += duplicates(sound)
    findings += _repeats(journals, sound)
    return Report(len(files) + len(journals) + len(lates), total, versions, findings)


def of_parquet(path: Path, now: datetime, versions: dict[str, int]) -> tuple[int, list[Finding]]:
    """Look at one Parquet file; return its rows and what is wrong, and count its version."""
    try:
        version, count = parquet.look(path, _version_and_rows, any_version=True)
    except HistoryError as error:
        return 0, [Finding(path, Fault.DAMAGED, str(error))]
    versions[version] = versions.get(version, 0) + 1
    try:
        parquet.look(path, lambda _: None)
    except HistoryError as error:
        return count, [Finding(path, Fault.NEWER, str(error), count)]
    try:
        parquet.look(path, lambda file: file.read(), checksums=True)
    except HistoryError as error:
        return count, [Finding(path, Fault.DAMAGED, str(error), count)]
    try:
        table = parquet.read(path)
    except HistoryError as error:
        return count, [Finding(path, Fault.INVALID, str(error))]
    return count, [*_misplaced(path, table), *_ahead(path, table, now)]


def _repeats(journals: list[Path], files: list[Path]) -> Iterator[Finding]:
    """Say which journals of servers that are gone have requests of a file or of an earlier journal.

    Rows that a sealed file of the same name has are not counted: no reader sees them twice.
    """
    from lightmeter import aggregate

    sealed = {(path.parent.name, path.stem) for path in files}
    asked = {path: _unsealed(path, sealed) for path in journals if not journal.is_live(path)}
    seen = aggregate.known_ids([name for names in asked.values() for name in names], files)
    for path, names in asked.items():
        again = []
        for name in names:
            if name in seen:
                again.append(name)
            seen.add(name)
        if again:
            yield Finding(path, Fault.DUPLICATE, f"{path.name}: {counted(len(again), 'row')} of requests that are there already, like {again[0]!r}", len(again))  # fmt: skip


def _unsealed(path: Path, sealed: set[tuple[str, str]]) -> list[str]:
    try:
        found = journal.scan(path).rows
    except HistoryError:  # told of already
        return []
    return [row.request_id for row in found if (f"date={row.arrived_at:%Y-%m-%d}", path.stem) not in sealed]  # fmt: skip


def _version_and_rows(file: pq.ParquetFile) -> tuple[str, int]:
    return parquet.version_of(file.schema_arrow.metadata), file.metadata.num_rows


def days_of(table: pa.Table) -> pa.ChunkedArray:
    """Give the day of each row's arrival, in UTC."""
    return table["arrived_at"].cast(pa.timestamp("us")).cast(pa.date32())


def _misplaced(path: Path, table: pa.Table) -> Iterator[Finding]:
    named = path.parent.name.removeprefix("date=")
    try:
        day = date.fromisoformat(named)
    except ValueError:
        yield Finding(path, Fault.MISPLACED, f"{parquet.name_of(path)}: {named!r} is no day, like 2026-11-01", table.num_rows)  # fmt: skip
        return
    wrong = pc.sum(pc.not_equal(days_of(table), pa.scalar(day))).as_py() or 0
    if wrong:
        yield Finding(path, Fault.MISPLACED, f"{parquet.name_of(path)}: {counted(wrong, 'row')} arrived on another day", wrong)  # fmt: skip


def _ahead(path: Path, table: pa.Table, now: datetime) -> Iterator[Finding]:
    bound = pa.scalar(now.astimezone(UTC) + AHEAD_MOST, table.schema.field("arrived_at").type)
    ahead = pc.sum(pc.greater(table["arrived_at"], bound)).as_py() or 0
    if ahead:
        yield Finding(path, Fault.AHEAD, f"{parquet.name_of(path)}: {counted(ahead, 'row')} arrived after now; the clock there or here is wrong", ahead)  # fmt: skip


def _of_journal(path: Path, now: datetime) -> tuple[int, list[Finding]]:
    try:
        found = journal.scan(path)
    except HistoryError as error:
        return 0, [Finding(path, Fault.DAMAGED, str(error))] if path.exists() else []
    says = []
    if found.torn and not journal.is_live(path):
        says.append(Finding(path, Fault.TORN, f"{path.name}: the last row was cut short by a crash", 1))  # fmt: skip
    ahead = sum(row.arrived_at > now + AHEAD_MOST for row in found.rows)
    if ahead:
        says.append(Finding(path, Fault.AHEAD, f"{path.name}: {counted(ahead, 'row')} arrived after now; the clock there or here is wrong", ahead))  # fmt: skip
    return len(found.rows), says


def _of_late(path: Path) -> list[Finding]:
    try:
        found = late.of_file(path)
    except HistoryError as error:
        return [Finding(path, Fault.DAMAGED, str(error))] if path.exists() else []
    if found.torn and not lines.is_live(path):
        return [Finding(path, Fault.TORN, f"{path.name}: the last rating was cut short by a crash", 1)]  # fmt: skip
    return []


def _of_leftovers(folder: Path) -> Iterator[Finding]:
    for path in sorted(folder.glob("date=*/.*.parquet.*")):
        if time.time() - path.lstat().st_mtime > PARTIAL_SECONDS:
            yield Finding(path, Fault.PARTIAL, f"{parquet.name_of(path)}: a crash left it behind while it was written")  # fmt: skip


def duplicates(files: list[Path]) -> list[Finding]:
    """Say which files have requests that an earlier file, or they themselves, have already."""
    from lightmeter import aggregate

    found = aggregate.repeated(files)
    return [
        Finding(path, Fault.DUPLICATE, f"{parquet.name_of(path)}: {counted(count, 'row')} of requests that are there already, like {example!r}", count)
        for path, (count, example) in found.items()
    ]  # fmt: skip
