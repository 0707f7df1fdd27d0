"""The append-only journal: a row is on it before its answer leaves. Standard library only.

A journal is one file of JSON lines, ``DIR/_journal/STEM.jsonl``, written by one process, which holds
a lock on it for as long as it may still append. `write` hands each line to the kernel in one call,
so a row survives the death of the process in the next instant; with ``fsync`` it survives the loss
of power too.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from lightmeter.errors import HistoryError, explain
from lightmeter.rows import UsageRow, as_json, check, from_json


FOLDER = "_journal"
"""The underscore keeps other engines (Spark, pyarrow, DuckDB) from reading it as data."""
SUFFIX = ".jsonl"


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
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        folder = history / FOLDER
        self.path = folder / f"{stamp}-{os.getpid()}-{secrets.token_hex(3)}{SUFFIX}"
        self.rows = 0
        self._fsync = fsync
        unlocked = self.path.with_suffix(".new")  # no reader sees it before the lock is held
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = os.open(
                unlocked, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o640
            )
            fcntl.flock(self._file, fcntl.LOCK_EX)
            unlocked.rename(self.path)
        except OSError as error:
            raise HistoryError(
                f"history folder {str(history)!r} {explain(error)}; name a writable one with --data"
            ) from error

    def append(self, row: UsageRow) -> None:
        """Put the row on the journal; when this returns, the row outlives the process.

        Raises:
            HistoryError: the row is invalid, or the disk refuses it.
        """
        line = json.dumps(as_json(check(row, "row")), separators=(",", ":")) + "\n"
        try:
            self._write(line.encode())
        except OSError as error:
            raise HistoryError(f"journal {str(self.path)!r} {explain(error)}") from error
        self.rows += 1

    def _write(self, data: bytes) -> None:
        written = os.write(self._file, data)
        if written != len(data):  # a nearly full disk takes a part: take it back, keep lines whole
            os.ftruncate(self._file, os.fstat(self._file).st_size - written)
            raise OSError(28, "No space left on device")
        if self._fsync:
            os.fsync(self._file)

    def close(self) -> None:
        """Give up the lock; an empty journal leaves nothing behind."""
        if self.rows == 0:
            self.path.unlink(missing_ok=True)
        os.close(self._file)

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
    return sorted((history / FOLDER).glob(f"*{SUFFIX}"))


def scan(path: Path) -> Scan:
    """Read a journal's whole rows; a last line that a crash cut short is dropped and told.

    Raises:
        HistoryError: the file is unreadable, or a line before the last is no row.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise HistoryError(f"journal {str(path)!r} {explain(error)}") from error
    tail = lines.pop()
    rows = [_parse(line, f"{path.name} line {number}") for number, line in enumerate(lines, 1)]
    return Scan(rows, torn=bool(tail))


def _parse(line: bytes, where: str) -> UsageRow:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise HistoryError(
            f"{where}: not a usage row ({error}); move the file aside to go on"
        ) from error
    if not isinstance(values, dict):
        raise HistoryError(f"{where}: not a usage row; move the file aside to go on")
    return from_json(values, where)


def is_live(path: Path) -> bool:
    """Tell whether some process still holds the journal open for appending."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return True
    return False
