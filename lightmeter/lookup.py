"""Is this request in the history? Answered from the ids alone, in a bounded time."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lightmeter import journal, within
from lightmeter.errors import HistoryError


def holds(folder: Path, request_id: str, *, seconds: float) -> bool | None:
    """Look for a request id, newest rows first; None where the time ran out before all were seen.

    A file that cannot be read holds nothing here; who reads the history is told about it.
    """
    end = time.monotonic() + seconds
    for found in _search(folder, request_id):
        if found:
            return True
        if time.monotonic() > end:
            return None
    return False


def _search(folder: Path, request_id: str) -> Iterator[bool]:
    """Say of one journal or row group after the other whether it has the id."""
    for path in reversed(journal.journals(folder)):
        yield _in_journal(path, request_id)
    # listed after the journals are read: a row that is sealed meanwhile is found here
    for path in sorted(folder.glob("date=*/*.parquet"), reverse=True):
        try:
            within.check(path, "history file")
            with pq.ParquetFile(path) as file:
                for group in range(file.num_row_groups):
                    ids = file.read_row_group(group, columns=["request_id"])["request_id"]
                    yield bool(pc.any(pc.equal(ids, request_id)).as_py())
        except (OSError, pa.ArrowException, KeyError, HistoryError):
            continue


def _in_journal(path: Path, request_id: str) -> bool:
    try:
        within.check(path, "file")
        whole = path.read_bytes().split(b"\n")[:-1]
    except (OSError, HistoryError):
        return False  # sealed between listing and reading
    wanted = request_id.encode()
    return any(_id(line) == request_id for line in whole if wanted in line)


def _id(line: bytes) -> object:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return values.get("request_id") if isinstance(values, dict) else None
