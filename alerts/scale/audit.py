"""The audit: each decision a line of JSON, on disk before it is acted on, in files of bounded size.

A line has room for what came of the decision, which is put into its place afterwards; so a process
that is killed between the two leaves a decision without a result, never an action without a line.
"""

from __future__ import annotations

import errno
import itertools
import json
import logging
import os
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lightmeter.errors import AuditError, InputError, explain


_log = logging.getLogger(__name__)
NAME = "decisions.jsonl"
MOST_BYTES = 16 * 2**20
KEPT = 8
"""Files: the one that is written and those before it, 128 MiB in all; a line takes about 2 KiB, so
ten days of a decision every 15 seconds."""
RESULT_CHARACTERS = 120
_TAIL = 1 << 20


class Audit:
    """Appends to ``folder/decisions.jsonl``; older files are ``decisions.1.jsonl`` and so on."""

    def __init__(self, folder: Path, *, most_bytes: int = MOST_BYTES, last: int = 1000) -> None:
        """Raise InputError where the folder cannot be written; ``last`` decisions stay in memory."""
        self._path, self._most = folder / NAME, most_bytes
        try:
            folder.mkdir(parents=True, exist_ok=True)
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644))
        except OSError as error:
            raise InputError(f"audit folder {str(folder)!r} {explain(error)}; give another --data") from error  # fmt: skip
        self._file: int | None = None
        self.last: deque[dict[str, Any]] = deque(maxlen=last)

    def resume(self) -> None:
        """Go on behind what another one has written meanwhile."""
        self.close()

    def _open(self) -> int:
        """Open the file with the first decision: until then it may be another's."""
        if self._file is None:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
            self._end = self._line = _whole(self._file)
        return self._file

    def write(self, record: Mapping[str, Any]) -> None:
        """Append a decision, and see that it has left this process.

        Raises:
            AuditError: the disk is full or gone; nothing may be done that is not written down.
        """
        line = _padded(record)
        try:
            file = self._open()
            if self._end and self._end + len(line) > self._most:
                file = self._rotate()
            _put(file, line, self._end)
        except OSError as error:
            self._take_back()
            raise AuditError(f"the audit {str(self._path)!r} {explain(error)}") from error
        self._line, self._end = self._end, self._end + len(line)
        self.last.append(dict(record))

    def settle(self, result: str) -> None:
        """Put what came of the last decision into its line.

        Raises:
            AuditError: the disk is gone.
        """
        while len(json.dumps(result)) > RESULT_CHARACTERS:
            result = result[:-1]
        self.last[-1]["result"] = result
        line = _padded(self.last[-1], self._end - self._line)
        try:
            _put(self._open(), line, self._line)
        except OSError as error:
            raise AuditError(f"the audit {str(self._path)!r} {explain(error)}") from error

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
        self._file = None

    def _take_back(self) -> None:
        """Leave no half of a line; where even that fails, a reader skips it."""
        try:
            os.ftruncate(self._open(), self._end)
        except OSError as error:
            _log.warning("half a decision stays in the audit: %s", error)

    def _rotate(self) -> int:
        self.close()
        names = [
            self._path,
            *(self._path.with_name(f"decisions.{n}.jsonl") for n in range(1, KEPT)),
        ]
        for newer, older in reversed(list(itertools.pairwise(names))):
            if newer.exists():
                newer.replace(older)
        return self._open()


def read(path: Path) -> Iterator[dict[str, Any]]:
    """Read the decisions of a file, or of a folder's files from the oldest on; half a line is skipped.

    Raises:
        InputError: it cannot be read.
    """
    if path.is_dir():
        older = sorted(path.glob("decisions.*.jsonl"), key=lambda one: -int(one.name.split(".")[1]))
        for one in [*older, path / NAME]:
            if one.exists():
                yield from read(one)
        return
    try:
        with path.open("rb") as lines:
            for line in lines:
                record = _parsed(line)
                if record is None:
                    _log.warning("a line of %s is no decision and is skipped", path)
                else:
                    yield record
    except OSError as error:
        raise InputError(
            f"decisions {str(path)!r} {explain(error)}; name the folder 'scale' of a scaler's data"
        ) from error


def newest(folder: Path, target: str) -> dict[str, Any] | None:
    """Find the last decision on a target, among those of the last MiB."""
    for path in (folder / NAME, folder / "decisions.1.jsonl"):
        try:
            with path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - _TAIL))
                lines = file.read().splitlines()
        except OSError:
            continue
        records = (_parsed(line) for line in reversed(lines))
        found = next((one for one in records if one and one.get("target") == target), None)
        if found:
            return found
    return None


def _padded(record: Mapping[str, Any], length: int | None = None) -> bytes:
    text = json.dumps(record, separators=(",", ":"), ensure_ascii=True)
    return text.ljust((length or len(text) + RESULT_CHARACTERS + 1) - 1).encode() + b"\n"


def _put(file: int, line: bytes, at: int) -> None:
    if os.pwrite(file, line, at) != len(line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _whole(file: int) -> int:
    """Find the end of the last whole line; what a kill left behind it is written over."""
    size = os.fstat(file).st_size
    tail = os.pread(file, min(size, _TAIL), max(0, size - _TAIL))
    end = size - len(tail) + tail.rfind(b"\n") + 1
    os.ftruncate(file, end)
    return end


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and "id" in record else None
