"""The journal: a usage row is on it before its answer leaves. Standard library only.

A journal is one file of JSON lines, ``DIR/_journal/STEM.jsonl``, written by one process; what such
a file survives is said in `lightmeter.lines`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from lightmeter import lines
from lightmeter.errors import HistoryError, explain
from lightmeter.lines import LineFile, is_live
from lightmeter.rows import UsageRow, as_json, check, from_json


__all__ = ["FOLDER", "Journal", "Scan", "is_live", "journals", "scan"]
FOLDER = "_journal"
"""The underscore keeps other engines (Spark, pyarrow, DuckDB) from reading it as data."""


@dataclass(frozen=True)
class Scan:
    """What a journal holds: whole rows, and whether a torn last line was dropped."""

    rows: list[UsageRow]
    torn: bool


class Journal:
    """One process's journal, open for appending."""

    def __init__(self, history: Path, *, fsync: bool = False) -> None:
        """Create a fresh journal under the history folder.

        Raises:
            HistoryError: the folder cannot be made or written.
        """
        self.rows = 0
        try:
            self._file = LineFile(history / FOLDER, fsync=fsync)
        except OSError as error:
            raise HistoryError(
                f"history folder {str(history)!r} {explain(error)}; name a writable one with --data"
            ) from error
        self.path = self._file.path

    def append(self, row: UsageRow) -> None:
        """Put the row on the journal; when this returns, the row outlives the process.

        Raises:
            HistoryError: the row is invalid, or the disk refuses it.
        """
        values = as_json(check(row, "row"))
        try:
            self._file.append(values)
        except OSError as error:
            raise HistoryError(f"journal {str(self.path)!r} {explain(error)}") from error
        self.rows += 1

    def close(self) -> None:
        """Give up the lock; an empty journal leaves nothing behind."""
        if self.rows == 0:
            self.path.unlink(missing_ok=True)
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def journals(history: Path) -> list[Path]:
    """List the journals of a history folder, oldest first."""
    return lines.files(history / FOLDER)


def scan(path: Path) -> Scan:
    """Read a journal's whole rows; a last line that a crash cut short is dropped and told.

    Raises:
        HistoryError: the file is unreadable, or a line before the last is no row.
    """
    found = lines.read(path, "a usage row")
    rows = [from_json(values, f"{path.name} line {number}") for number, values in found.values]
    return Scan(rows, torn=found.torn)
