"""A CSV of one's own as usage columns: named like ours, or mapped; what is wrong is named by line."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from lightmeter import rows
from lightmeter.errors import HistoryError, nearest
from planner import packed, traces


_ZONED = re.compile(r"(?:Z|UTC|[+-]\d\d:?\d\d)\s*$")
_SEPARATORS = ",;\t"
_UNITS = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
_EXAMPLE = "write it like 2026-11-20T09:30:00Z"


def read(
    source: Path, mapping: Mapping[str, str]
) -> tuple[bytes, dict[str, pd.Series[Any]], list[str]]:
    """Read a CSV; return its text, its usage columns, and what must be said of it.

    ``mapping`` gives the file's name for a usage column.

    Raises:
        HistoryError: naming the file, the line, the column and the value.
    """
    for name in mapping:
        if name not in rows.COLUMNS:
            raise HistoryError(f"--column {name!r} is no usage column{nearest(name, rows.COLUMNS)}; see docs/history.md")  # fmt: skip
    text = packed.members(source)[0]
    raw = _raw(text, source)
    names = _names(raw, mapping, source)
    unknown = [str(name) for name in raw.columns if name not in names.values()]
    notes = [f"columns that are no usage columns are left out: {', '.join(unknown)}; --column OURS=THEIRS maps one"] if unknown else []  # fmt: skip
    reader = _Reader(text, source, raw)
    columns = {ours: reader.column(ours, theirs, notes) for ours, theirs in names.items()}
    return text, columns, notes


def _raw(text: bytes, source: Path) -> pd.DataFrame:
    head = text[: text.find(b"\n", 0, packed.HEAD_BYTES) + 1 or packed.HEAD_BYTES].decode(
        "utf-8-sig", "replace"
    )
    separator = max(_SEPARATORS, key=head.count)
    packed.check_shape(text, source, separator.encode())
    try:
        raw = pd.read_csv(
            io.BytesIO(text),
            sep=separator,
            dtype=str,
            keep_default_na=False,
            na_values=[""],
            encoding="utf-8-sig",
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise HistoryError(f"trace {str(source)!r} is no CSV: {reason}") from error
    if not isinstance(raw.index, pd.RangeIndex):  # pandas took the first column for row names
        raise HistoryError(f"trace {str(source)!r} has more fields in its rows than in its header; quote what holds a comma")  # fmt: skip
    return raw


def _names(raw: pd.DataFrame, mapping: Mapping[str, str], source: Path) -> dict[str, str]:
    """Find the file's name of each usage column that it has."""
    have = [str(name) for name in raw.columns]
    for ours, theirs in mapping.items():
        if theirs not in have:
            raise HistoryError(f"trace {str(source)!r} has no column {theirs!r} for {ours}{nearest(theirs, have)}")  # fmt: skip
    names = {name: name for name in rows.COLUMNS if name in have} | dict(mapping)
    if "arrived_at" not in names:
        raise HistoryError(f"trace {str(source)!r} lacks the column 'arrived_at'; it has {', '.join(have[:8])}; --column arrived_at=NAME says which one it is")  # fmt: skip
    return names


class _Reader:
    def __init__(self, text: bytes, source: Path, raw: pd.DataFrame) -> None:
        self._text, self._source, self._raw = text, source, raw

    def column(self, ours: str, theirs: str, notes: list[str]) -> pd.Series[Any]:
        """Turn a column of text into what it holds, or name the first value that it cannot hold."""
        raw = self._raw[theirs]
        if ours == "arrived_at":
            return self._times(raw, notes)
        if ours in rows.MEASURES:
            return self._numbers(raw, ours)
        self._refuse(raw.isna() & (ours in rows.REQUIRED), raw, ours, "every row needs one")
        known = rows.CLOSED.get(ours)
        if known:
            self._refuse(raw.notna() & ~raw.isin(list(known)), raw, ours, f"it must be one of {', '.join(known)}")  # fmt: skip
        return raw

    def _times(self, raw: pd.Series[str], notes: list[str]) -> pd.Series[Any]:
        self._refuse(raw.isna(), raw, "arrived_at", "every row needs one")
        numbers = pd.to_numeric(raw, errors="coerce")
        if len(raw) and numbers.notna().all():
            unit = traces.unit_of(numbers)
            notes.append(f"arrived_at is read as Unix time in {_UNITS[unit]}")
            times: pd.Series[Any] = pd.to_datetime(numbers, unit=unit, utc=True, errors="coerce")
        else:
            times = pd.to_datetime(raw, format="ISO8601", utc=True, errors="coerce")
            zoned = raw.str.contains(_ZONED)
            if not zoned.all():
                share = "" if not zoned.any() else f" ({int((~zoned).sum())} of {len(raw)})"
                notes.append(f"times without a zone{share} are taken to be UTC")
        self._refuse(times.isna(), raw, "arrived_at", _EXAMPLE)
        first, last = (pd.Timestamp(at) for at in rows.ERA)
        self._refuse((times < first) | (times >= last), raw, "arrived_at", f"it must lie {rows.ERA_IN_WORDS}")  # fmt: skip
        return times

    def _numbers(self, raw: pd.Series[str], ours: str) -> pd.Series[Any]:
        numbers = pd.to_numeric(raw, errors="coerce")
        fits = (numbers >= 0) & (numbers < float("inf"))
        kind = "number"
        if ours in rows.INTEGERS:
            kind = "whole number"
            fits &= (numbers % 1 == 0) & (numbers <= rows.INTEGERS[ours])
        self._refuse(raw.notna() & ~fits, raw, ours, f"it must be a {kind}, 0 or more, or empty")
        return numbers

    def _refuse(self, bad: pd.Series[bool], raw: pd.Series[str], ours: str, advice: str) -> None:
        if bad.any():
            index = int(bad.to_numpy().argmax())
            value: Any = raw.iloc[index]
            shown = repr(value[:40]) if isinstance(value, str) else "empty"
            raise HistoryError(f"{self._source} line {self._line(index)}: {ours} is {shown}; {advice}")  # fmt: skip

    def _line(self, index: int) -> int:
        """Find the line on which a record ends; one may span several, and empty ones are skipped."""
        reader = csv.reader(io.StringIO(self._text.decode("utf-8-sig")))
        records = (reader.line_num for record in reader if record)
        return next(line for number, line in enumerate(records) if number == index + 1)
