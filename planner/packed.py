"""Files as publishers pack them, unpacked and read as tables: CSV, JSON or Parquet, gzip, tar."""

from __future__ import annotations

import gzip
import io
import json
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


def members(source: Path) -> list[bytes]:
    """Unpack what the publisher packed: plain, gzip, or a tar of several files.

    Raises:
        HistoryError: it cannot be read, or is damaged.
    """
    try:
        content = source.read_bytes()
    except OSError as error:
        raise HistoryError(f"trace {str(source)!r} {explain(error)}") from error
    try:
        if content[:2] == _GZIP:
            content = gzip.decompress(content)
        place, magic = _TAR_MAGIC
        return _untar(content) if content[place] == magic else [content]
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise HistoryError(f"trace {str(source)!r} is damaged ({error}); fetch it again") from error


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
    if text.lstrip()[:1] == b"[":
        return _from_json(text, source)
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
                return pd.DataFrame(columns=names)
            table: pd.DataFrame = file.read(columns=list(columns)).to_pandas()
            return table
    except (OSError, pa.ArrowInvalid) as error:
        raise HistoryError(f"trace {str(source)!r} is damaged; fetch it again") from error


def _from_json(text: bytes, source: Path) -> pd.DataFrame:
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise HistoryError(f"trace {str(source)!r} is no JSON: {error}") from error
    if not all(isinstance(row, dict) for row in rows):
        raise HistoryError(f"trace {str(source)!r} is no list of objects; is it the whole file?")
    return pd.DataFrame(rows)
