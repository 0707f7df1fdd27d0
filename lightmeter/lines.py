"""Append-only files of JSON lines, one for each writing process. Standard library only.

A writer holds a lock on its file for as long as it may still append, and hands each line to the
kernel in one call: a line survives the death of the process in the next instant; with ``fsync`` it
survives the loss of power too. A last line that a crash cut short is known by its missing end.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lightmeter import within
from lightmeter.errors import HistoryError, explain, printable


SUFFIX = ".jsonl"
_MENDED = "'lightmeter history repair' keeps its other lines, or move the file aside to go on"
MOST_BYTES = 4 * 2**30
"""Of a file, which is ten million rows; one with holes says any size."""
_ENCODER = json.JSONEncoder(separators=(",", ":"))


class LineFile:
    """One process's file, open for appending."""

    def __init__(self, folder: Path, *, fsync: bool = False) -> None:
        """Create a fresh file in the folder.

        Raises:
            OSError: the folder cannot be made or written.
        """
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        self.path = folder / f"{stamp}-{os.getpid()}-{secrets.token_hex(3)}{SUFFIX}"
        self._fsync = fsync
        unlocked = self.path.with_suffix(".new")  # no reader sees it before the lock is held
        folder.mkdir(parents=True, exist_ok=True)
        self._file = os.open(unlocked, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o640)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            unlocked.rename(self.path)
        except OSError:
            os.close(self._file)
            unlocked.unlink(missing_ok=True)
            raise

    def append(self, values: dict[str, Any]) -> None:
        """Put one line on the file; when this returns, the line outlives the process.

        Raises:
            OSError: the disk refuses it; then the file is as it was.
        """
        data = _ENCODER.encode(values).encode() + b"\n"
        written = os.write(self._file, data)
        try:
            self._keep(written, len(data))
        except OSError:  # whoever is told so says that there is no such line: take it back
            os.ftruncate(self._file, os.fstat(self._file).st_size - written)
            raise

    def _keep(self, written: int, wanted: int) -> None:
        if written != wanted:  # a nearly full disk takes a part
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self._fsync:
            os.fsync(self._file)

    def close(self) -> None:
        """Give up the lock."""
        os.close(self._file)


@dataclass(frozen=True)
class Lines:
    """What a file holds: the whole lines with their numbers, and whether a torn one was dropped."""

    values: list[tuple[int, dict[str, Any]]]
    torn: bool


def read(path: Path, what: str) -> Lines:
    """Read a file's whole lines; ``what`` says in an error what each should be.

    Raises:
        HistoryError: the file is unreadable or too large, or a line before the last is no JSON object.
    """
    within.check(path, "file")
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise HistoryError(f"file {str(path)!r} has {size >> 30} GiB, more than {MOST_BYTES >> 30}; move it aside")  # fmt: skip
        found = path.read_bytes().split(b"\n")
    except OSError as error:
        raise HistoryError(f"file {str(path)!r} {explain(error)}") from error
    torn = bool(found.pop())
    return Lines([(n, parse(line, path, n, what)) for n, line in enumerate(found, 1)], torn)


def parse(line: bytes, path: Path, number: int, what: str) -> dict[str, Any]:
    """Read one whole line; ``what`` says in an error what it should be.

    Raises:
        HistoryError: it is no JSON object.
    """
    where = f"{printable(path.name)} line {number}"
    try:
        values = json.loads(line.decode("utf-8-sig"))  # of bytes it would guess the encoding
    except (ValueError, RecursionError) as error:
        raise HistoryError(f"{where}: not {what} ({error}); {_MENDED}") from error
    if not isinstance(values, dict):
        raise HistoryError(f"{where}: not {what}; {_MENDED}")
    return values


def files(folder: Path) -> list[Path]:
    """List the files of a folder, oldest first."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def is_live(path: Path) -> bool:
    """Tell whether some process still holds the file open for appending, or it is gone.

    One that cannot be opened is not live: whoever reads it next says what is wrong with it.
    """
    try:
        within.check(path, "file")
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # two who look do not see each other
    except (BlockingIOError, FileNotFoundError):
        return True
    except (OSError, HistoryError):
        return False
    return False
