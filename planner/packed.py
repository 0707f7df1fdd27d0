"""Files as publishers pack them, unpacked and read as tables: CSV, JSON or Parquet, gzip, tar."""

from __future__ import annotations

import gzip
import io
import json
import stat
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lightmeter.errors import HistoryError, explain


_GZIP, _PARQUET = b"\x1f\x8b", b"PAR1"
_TAR_MAGIC = slice(257, 262), b"ustar"
_MOST_NAMES = 8
MOST_BYTES = 4 * 2**30
"""Of a file, unpacked: tables of more do not fit into the memory of most machines."""
MOST_GROWTH, GROWTH_FROM = 250, 64 * 2**20
"""A file that unpacks to more than so many times its size, and to so many bytes, is refused. Logs
grow 5 to 40 times; zeros, which nobody logs, 1030 times, gzip's most."""
MOST_COLUMNS = 10_000
MOST_ROWS = 50_000_000
"""Of a Parquet file, where a row may take no room at all; the largest published trace has 15 million."""
HEAD_BYTES = 1 << 20
"""The first line of a CSV is no longer."""


def members(source: Path) -> list[bytes]:
    """Unpack what the publisher packed: plain, gzip, or a tar of several files.

    Raises:
        HistoryError: it cannot be read, is damaged, or is too large unpacked.
    """
    content = _content(source)
    try:
        if content[:2] == _GZIP:
            content = _unpacked(content, source)
        place, magic = _TAR_MAGIC
        return _untar(content) if content[place] == magic else [content]
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise HistoryError(f"trace {str(source)!r} is damaged ({error}); fetch it again") from error


def _content(source: Path) -> bytes:
    """Read a file, or a pipe that somebody named; a device has no end."""
    try:
        kind = source.stat().st_mode
        if stat.S_ISCHR(kind) or stat.S_ISBLK(kind):
            raise HistoryError(f"trace {str(source)!r} is a device, not a file")
        with source.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise HistoryError(f"trace {str(source)!r} {explain(error)}") from error
    if len(content) > MOST_BYTES:
        raise HistoryError(f"trace {str(source)!r} {_TOO_LARGE}")
    return content


_TOO_LARGE = f"has more than {MOST_BYTES >> 30} GiB unpacked; import it in parts"


def _unpacked(content: bytes, source: Path) -> bytes:
    """Undo gzip, a part at a time, so that what grows without measure is refused in time."""
    most = min(MOST_BYTES, max(GROWTH_FROM, MOST_GROWTH * len(content)))
    parts, length = [], 0
    with gzip.open(io.BytesIO(content)) as packed:
        while part := packed.read(HEAD_BYTES):
            parts.append(part)
            length += len(part)
            if length > most:
                raise HistoryError(f"trace {str(source)!r} {_TOO_LARGE if most == MOST_BYTES else f'unpacks to more than {MOST_GROWTH} times its size, which no log does; is it the right file?'}")  # fmt: skip
    return b"".join(parts)


def _untar(content: bytes) -> list[bytes]:
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        files = [
            member
            for member in tar
            if member.isfile() and not Path(member.name).name.startswith(".")
        ]
        return [data.read() for member in files if (data := tar.extractfile(member))]


def frame(
    source: Path, columns: tuple[str, ...], others: Mapping[str, tuple[str, ...]]
) -> tuple[bytes, pd.DataFrame]:
    """Find the file with these columns among what was packed; return its text and its table.

    ``others`` are the columns of the other formats, to say which one the file is of.

    Raises:
        HistoryError: none has them.
    """
    seen: list[str] = []
    for text in members(source):
        table = _table(text, source, columns)
        if set(columns) <= set(table.columns):
            return text, table
        seen = [str(name)[:40] for name in table.columns if str(name).isprintable()]
    for name, wanted in others.items():
        if set(wanted) <= set(seen):
            raise HistoryError(f"trace {str(source)!r} has the columns of {name}; import it as that")  # fmt: skip
    missing = [name for name in columns if name not in seen]
    raise HistoryError(f"trace {str(source)!r} lacks the column {missing[0]!r}; it has {', '.join(seen[:_MOST_NAMES]) or 'none'}")  # fmt: skip


def _table(text: bytes, source: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    if text[:4] == _PARQUET:
        return _from_parquet(text, source, columns)
    if text[:HEAD_BYTES].lstrip()[:1] == b"[":
        return _from_json(text, source)
    check_shape(text, source)
    try:
        return pd.read_csv(io.BytesIO(text))
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise HistoryError(f"trace {str(source)!r} is no CSV: {reason}") from error


def _from_parquet(text: bytes, source: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """Read the columns that are wanted; of a file without them, the names of all."""
    try:
        with pq.ParquetFile(pa.BufferReader(text)) as file:
            names = file.schema_arrow.names
            if not set(columns) <= set(names):
                return pd.DataFrame(columns=names[:MOST_COLUMNS])
            if file.metadata.num_rows > MOST_ROWS:
                raise HistoryError(f"trace {str(source)!r} has {file.metadata.num_rows} rows, more than {MOST_ROWS}; import it in parts")  # fmt: skip
            table: pd.DataFrame = file.read(columns=list(columns)).to_pandas()
            return table
    except (OSError, ValueError, pa.ArrowException) as error:
        raise HistoryError(f"trace {str(source)!r} is damaged; fetch it again") from error


def _from_json(text: bytes, source: Path) -> pd.DataFrame:
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise HistoryError(f"trace {str(source)!r} is no JSON: {error}") from error
    if not all(isinstance(row, dict) for row in rows):
        raise HistoryError(f"trace {str(source)!r} is no list of objects; is it the whole file?")
    names = {name for row in rows for name in row}
    if len(rows) * len(names) > max(
        len(text), HEAD_BYTES
    ):  # where each row has each, a value takes bytes
        raise HistoryError(f"trace {str(source)!r} has {len(names)} names of columns, and few of them in each object; is it a table?")  # fmt: skip
    return pd.DataFrame(rows)


def check_shape(text: bytes, source: Path, separator: bytes = b",") -> None:
    """Refuse a CSV whose table would be far larger than its text.

    Raises:
        HistoryError: its header has no end or too many columns, or most rows lack most of them.
    """
    end = text.find(b"\n", 0, HEAD_BYTES)
    if end < 0 and len(text) > HEAD_BYTES:
        raise HistoryError(f"trace {str(source)!r} is no CSV: its first line is longer than {HEAD_BYTES >> 20} MiB")  # fmt: skip
    columns = 1 + text.count(separator, 0, end if end >= 0 else len(text))
    if columns > MOST_COLUMNS:
        raise HistoryError(f"trace {str(source)!r} has {columns} columns, more than {MOST_COLUMNS}; is it a table of requests?")  # fmt: skip
    if columns * text.count(b"\n") > max(2 * len(text), GROWTH_FROM):  # a column takes a separator
        raise HistoryError(f"trace {str(source)!r} has {columns} columns, and rows that are too short for them; is it a table?")  # fmt: skip
