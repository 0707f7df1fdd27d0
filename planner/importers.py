"""Traces and tables as usage rows. A file is recognised by its columns, not by its name."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa

from lightmeter import tables
from lightmeter.errors import HistoryError
from planner import own_csv, packed, traces


CSV = "csv"
FILES = (CSV, *traces.FORMATS)
"""The formats that are files."""


class Imported(NamedTuple):
    """Usage rows, the stem of the history files that they belong in, and what must be said of them."""

    table: pa.Table
    stem: str
    notes: list[str]


def read(
    format_: str, source: Path, *, mapping: Mapping[str, str] | None = None, service: str = ""
) -> Imported:
    """Read a file of one of the formats `FILES`.

    The stem is made from the unpacked file, so that the same import twice is the same import.
    ``mapping`` gives the file's names of usage columns, for `CSV`; ``service`` is given to rows that
    have none.

    Raises:
        HistoryError: unreadable, wrong columns, or a row with an impossible value.
    """
    if format_ == CSV:
        text, columns, notes = own_csv.read(source, mapping or {})
    else:
        known = traces.FORMATS[format_]
        others = {name: other.columns for name, other in traces.FORMATS.items()}
        text, frame = packed.frame(source, known.columns, others)
        columns, notes = known.convert(frame, str(source)), list(known.notes)
    count = len(columns["arrived_at"])
    if not count:
        raise HistoryError(f"trace {str(source)!r} holds no rows; is it the whole file?")
    stem = f"{format_}-{hashlib.sha256(text).hexdigest()[:12]}"
    if "request_id" not in columns:
        columns["request_id"] = pd.Series([f"{stem}-{index}" for index in range(count)])
    notes += _named(columns, service, count)
    table = pa.Table.from_pandas(pd.DataFrame(columns), preserve_index=False)
    return Imported(tables.validated(tables.fitted(table, str(source)), str(source)), stem, notes)


def _named(columns: dict[str, pd.Series[Any]], service: str, count: int) -> list[str]:
    """Give the rows without a service this one; say how many are left without."""
    named = columns.get("service", pd.Series([None] * count, dtype=object))
    if service:
        columns["service"] = named.fillna(service)
        return []
    missing = int(named.isna().sum())
    return [f"{missing} of {count} rows have no service, and the planner leaves them out; --service names it"] if missing else []  # fmt: skip
