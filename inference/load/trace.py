"""Arrivals from a trace: a usage history, or a CSV or JSONL file."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from inference.load.arrivals import Arrival
from inference.load.asks import SIZE
from lightmeter.catalog import Outcome, Priority
from lightmeter.errors import HistoryError, explain, nearest


class _Row(BaseModel):
    """A row of a trace file; all but the first column may be missing or empty."""

    arrival_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    size: Annotated[str, Field(pattern=rf"^{SIZE.pattern}$")] | None = None
    steps: Annotated[int, Field(ge=1)] | None = None
    prompt: str | None = None
    n: Annotated[int, Field(ge=1)] | None = None
    priority: Priority | None = None


COLUMNS = tuple(_Row.model_fields)
_ADVICE = f"a trace has the columns {', '.join(COLUMNS)}; import other formats first with 'lightmeter history import' and name the history folder"
_Rows = Iterator[tuple[str, Mapping[str, Any]]]
"""Each row with its place, for messages."""


def read(path: Path) -> list[Arrival]:
    """Read the arrivals of a history folder, or of a .csv or .jsonl file, the first one due at 0.

    Raises:
        HistoryError: it cannot be read, has unknown columns, or holds an impossible value.
    """
    found = _history(path) if path.is_dir() else _file(path)
    if not found:
        raise HistoryError(f"trace {str(path)!r} holds no request that could be sent")
    found.sort(key=lambda arrival: arrival.at)
    first = found[0].at
    return [dataclasses.replace(arrival, at=arrival.at - first) for arrival in found]


def sped_up(arrivals: Iterable[Arrival], speed: float) -> list[Arrival]:
    """Let the arrivals come ``speed`` times as fast."""
    return [dataclasses.replace(arrival, at=arrival.at / speed) for arrival in arrivals]


def _history(folder: Path) -> list[Arrival]:
    """Take every request but the invalid ones; what a row does not know is left to the mix."""
    from lightmeter.history import History

    columns = ["width", "height", "forwards", "images", "priority", "outcome"]
    frame = History(folder).frame(columns)
    frame = frame[frame["outcome"] != Outcome.INVALID]
    seconds = (frame["arrived_at"] - frame["arrived_at"].min()).dt.total_seconds()
    rows = zip(seconds, *(frame[name] for name in columns[:-1]), strict=True)
    return [
        Arrival(
            at=at,
            width=_whole(width),
            height=_whole(height),
            steps=_whole(forwards),
            images=_whole(images),
            priority=Priority(priority) if isinstance(priority, str) else None,
        )
        for at, width, height, forwards, images, priority in rows
    ]


def _whole(value: float | None) -> int | None:
    """Turn a column's value into a whole number above 0, or nothing where it is not known."""
    return None if value is None or math.isnan(value) or value < 1 else int(value)


def _file(path: Path) -> list[Arrival]:
    where = f"trace {str(path)!r}"
    readers: dict[str, Callable[[str, str], _Rows]] = {".csv": _csv, ".jsonl": _jsonl}
    try:
        content = path.read_bytes()
    except OSError as error:
        raise HistoryError(f"{where} {explain(error)}") from error
    if path.suffix not in readers:
        raise HistoryError(f"{where} is no history folder, .csv or .jsonl file; {_ADVICE}")
    try:
        rows = readers[path.suffix](content.decode(), where)
        return [_arrival(row, place) for place, row in rows]
    except (UnicodeDecodeError, csv.Error) as error:
        raise HistoryError(f"{where} cannot be read: {error}") from error


def _csv(text: str, where: str) -> _Rows:
    reader = csv.DictReader(io.StringIO(text))
    _check_columns(reader.fieldnames or (), where)
    for row in reader:
        if None in row:
            raise HistoryError(f"{where} line {reader.line_num} has more values than columns")
        yield f"{where} line {reader.line_num}", row


def _jsonl(text: str, where: str) -> _Rows:
    for number, line in enumerate(text.split("\n"), 1):
        place = f"{where} line {number}"
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise HistoryError(f"{place} is no JSON: {error}") from error
        if not isinstance(row, dict):
            raise HistoryError(f"{place} is no JSON object; {_ADVICE}")
        _check_columns(row, place)
        yield place, row


def _check_columns(names: Iterable[str], where: str) -> None:
    known = list(names)
    if COLUMNS[0] not in known:
        raise HistoryError(f"{where} has no column {COLUMNS[0]!r}; {_ADVICE}")
    for name in known:
        if name not in COLUMNS:
            raise HistoryError(
                f"{where}: column {name!r} is not known{nearest(name, COLUMNS)}; {_ADVICE}"
            )


def _arrival(values: Mapping[str, Any], where: str) -> Arrival:
    try:
        row = _Row.model_validate({name: value for name, value in values.items() if value != ""})
    except ValidationError as error:
        first = error.errors()[0]
        raise HistoryError(
            f"{where}: {first['loc'][0]} is {str(first['input'])[:40]!r}: {first['msg'].lower()}"
        ) from error
    size = SIZE.fullmatch(row.size) if row.size else None
    return Arrival(
        at=row.arrival_seconds,
        width=int(size[1]) if size else None,
        height=int(size[2]) if size else None,
        steps=row.steps,
        prompt=row.prompt,
        images=row.n,
        priority=row.priority,
    )
