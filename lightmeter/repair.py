"""Mend a history folder: what is bad is set aside as it is, what it still holds is kept.

A file is copied to ``DIR/_aside/STAMP/`` before it is changed, so nothing is lost at any moment and
a repair that was interrupted is begun again. A running server's journal is left to it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lightmeter import aggregate, history, journal, late, lines, parquet, rows, within
from lightmeter.errors import HistoryError, explain
from lightmeter.tables import SCHEMA, fitted, table_of
from lightmeter.verify import REPAIRABLE, Fault, Finding, Report, Tell, days_of, duplicates, verify


ASIDE = "_aside"
"""The underscore keeps other engines (Spark, pyarrow, DuckDB) from reading it as data."""


@dataclass(frozen=True)
class Mended:
    """What was done about a file: how many of its rows were kept where they belong."""

    path: Path
    fault: Fault
    kept: int
    aside: Path


def repair(folder: Path, now: datetime, tell: Tell) -> tuple[list[Mended], Report]:
    """Mend what can be mended; return what was done and what a second look finds.

    Raises:
        HistoryError: the folder cannot be written.
    """
    found = verify(folder, now, tell)
    aside = folder / ASIDE / f"{now:%Y%m%dT%H%M%S}"
    done = [_mend(finding, folder, aside) for finding in found.findings if _is_first(finding)]
    if any(one.fault == Fault.DUPLICATE and one.path.parent.name == journal.FOLDER for one in found.findings):  # fmt: skip
        history.seal_orphans(folder)  # then they are files like the others
    files = sorted(folder.glob("date=*/*.parquet"))
    readable = [path for path in files if not any(one.path == path and one.fault == Fault.NEWER for one in found.findings)]  # fmt: skip
    done += [_without_repeats(finding, readable, folder, aside) for finding in duplicates(readable)]
    return done, verify(folder, now, tell)


def _is_first(finding: Finding) -> bool:
    """Tell whether it is mended by itself; what is there twice is looked for when all else is done."""
    return finding.fault in REPAIRABLE and finding.fault != Fault.DUPLICATE


def _mend(finding: Finding, folder: Path, aside: Path) -> Mended:
    path = finding.path
    within.check(
        path, "history file"
    )  # what is no file of this folder is neither copied nor removed
    copy = _set_aside(path, folder, aside)
    if finding.fault == Fault.PARTIAL:
        path.unlink(missing_ok=True)
        return Mended(path, finding.fault, 0, copy)
    if path.parent.name == journal.FOLDER:
        kept = _journal(path, folder)
    elif path.parent.name == late.FOLDER:
        kept = _late(path)
    else:
        kept = _file(path, folder)
    return Mended(path, finding.fault, kept, copy)


def _set_aside(path: Path, folder: Path, aside: Path) -> Path:
    copy = aside / path.relative_to(folder)
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copy)
    except OSError as error:
        raise HistoryError(f"history file {str(path)!r} cannot be set aside: {str(copy)!r} {explain(error)}") from error  # fmt: skip
    return copy


def _file(path: Path, folder: Path) -> int:
    """Write again what a Parquet file still holds, each row in the folder of its day."""
    table = salvaged(path)
    if (folder / journal.FOLDER / f"{path.stem}{lines.SUFFIX}").exists():
        path.unlink()  # a crash while sealing: the journal has the rows, and gives them again
        return 0
    here = _day(path)
    days = days_of(table)
    path_kept = False
    for day in pc.unique(days).to_pylist():
        part = table.filter(pc.equal(days, day))
        path_kept |= day == here
        target = path if day == here else folder / f"date={day}" / f"{path.stem}-from-{here or 'nowhere'}.parquet"  # fmt: skip
        parquet.write(part.sort_by("arrived_at"), target)
    if not path_kept:
        path.unlink()
    return int(table.num_rows)


def _day(path: Path) -> date | None:
    try:
        return date.fromisoformat(path.parent.name.removeprefix("date="))
    except ValueError:
        return None


def salvaged(path: Path) -> pa.Table:
    """Read the rows that a file still holds: groups whose needed columns are whole, valid rows.

    Another column that is damaged is unknown.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            groups = [_group(file, index) for index in range(file.num_row_groups)]
    except (OSError, ValueError, pa.ArrowException):
        groups = []
    parts = [_valid(group, path) for group in groups if group is not None]
    return pa.concat_tables([SCHEMA.empty_table(), *parts])


def _group(file: pq.ParquetFile, index: int) -> pa.Table | None:
    columns: dict[str, Any] = {}
    for name in dict.fromkeys(file.schema_arrow.names):
        if name not in rows.COLUMNS:
            continue
        try:
            columns[name] = file.read_row_group(index, columns=[name])[name]
        except (OSError, ValueError, pa.ArrowException):
            if name in rows.REQUIRED:
                return None
    return pa.table(columns) if set(rows.REQUIRED) <= columns.keys() else None


def _valid(group: pa.Table, path: Path) -> pa.Table:
    """Keep the rows, and the columns, that can be what they say."""
    columns = {}
    for name in group.column_names:
        try:
            one = fitted(pa.table({name: group[name]} | {"arrived_at": group["arrived_at"]}), "")
        except HistoryError:
            if name in rows.REQUIRED:
                return SCHEMA.empty_table()
            continue
        columns[name] = one[name]
    table = fitted(pa.table(columns), parquet.name_of(path))
    return table.filter(pa.array([_is_row(values) for values in table.to_pylist()], pa.bool_()))


def _is_row(values: dict[str, Any]) -> bool:
    try:
        rows.check(rows.UsageRow(**values), "")
    except (HistoryError, AttributeError):
        return False
    return True


def _journal(path: Path, folder: Path) -> int:
    """Seal the lines of a journal that are rows, unless its server is running."""
    if journal.is_live(path):
        return 0
    kept = [row for _, row in _whole_lines(path, rows.from_json)]
    history.write(table_of(kept), folder, path.stem)
    path.unlink(missing_ok=True)
    return len(kept)


def _late(path: Path) -> int:
    """Leave the lines of a late file that are ratings."""
    if lines.is_live(path):
        return 0
    kept = [line for line, _ in _whole_lines(path, late.from_json)]
    beside = path.with_suffix(".new")
    beside.write_bytes(b"".join(line + b"\n" for line in kept))
    beside.replace(path)
    return len(kept)


def _whole_lines(path: Path, parse: Any) -> list[tuple[bytes, Any]]:
    found = []
    for line in path.read_bytes().split(b"\n")[:-1]:
        try:
            found.append((line, parse(lines.parse(line, path, 0, "a row"), path.name)))
        except HistoryError:
            continue
    return found


def _without_repeats(finding: Finding, files: Iterable[Path], folder: Path, aside: Path) -> Mended:
    """Write a file again without the rows that an earlier one, or itself, has already."""
    copy = _set_aside(finding.path, folder, aside)
    table = parquet.read(finding.path)
    kept = table.filter(
        pa.array(
            aggregate.firsts(
                finding.path, [path for path in files if path.exists()], table.num_rows
            ),
            pa.bool_(),
        )
    )
    if kept.num_rows:
        parquet.write(kept, finding.path)
    else:
        finding.path.unlink()
    return Mended(finding.path, finding.fault, kept.num_rows, copy)
