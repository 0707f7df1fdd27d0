"""One Parquet file of usage rows: written whole or not at all, with the version of its schema.

The version is the key `VERSION_KEY` of the file's metadata. Files without it are of version 1, in
which `lightmeter` wrote what it wrote before it kept count; a file of a later version than
`VERSION` is refused rather than half understood.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lightmeter import rows
from lightmeter.errors import HistoryError, explain
from lightmeter.tables import SCHEMA, fitted, validated


VERSION = 2
"""1: columns could be missing; 2: the version is in the file, and each page has a checksum."""
VERSION_KEY = b"lightmeter.history.schema"
ROW_GROUP = 100_000
"""Rows that are lost together where a file is damaged."""


def write(table: pa.Table, path: Path) -> None:
    """Write a table of `SCHEMA` to a file, which appears when it is whole.

    Raises:
        HistoryError: it cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    marked = table.replace_schema_metadata({VERSION_KEY: str(VERSION).encode()})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            pq.write_table(
                marked, file, compression="zstd", write_page_checksum=True, row_group_size=ROW_GROUP
            )
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise HistoryError(f"history file {str(path)!r} {explain(error)}") from error


def read(path: Path, *, checksums: bool = False) -> pa.Table:
    """Read a file as a validated table of `SCHEMA`; what an earlier version lacked is unknown.

    Raises:
        HistoryError: it is unreadable, of a later version, has wrong columns or an invalid row.
    """
    where = name_of(path)

    def whole(file: pq.ParquetFile) -> pa.Table:
        rows.check_columns(file.schema_arrow.names, where)
        return file.read()

    return validated(fitted(look(path, whole, checksums=checksums), where), where)


def is_plain(path: Path) -> bool:
    """Tell from a file's footer whether `read` would take it as it is: types, measures, times.

    The words of closed vocabularies are not in a footer.

    Raises:
        HistoryError: it is unreadable, of a later version, or has wrong columns.
    """

    def footer(file: pq.ParquetFile) -> tuple[pa.Schema, pq.FileMetaData]:
        return file.schema_arrow, file.metadata

    schema, metadata = look(path, footer)
    rows.check_columns(schema.names, name_of(path))
    if any(field.type != SCHEMA.field(field.name).type for field in schema):
        return False
    groups = (metadata.row_group(index) for index in range(metadata.num_row_groups))
    return all(
        _in_bounds(name, group.column(index).statistics)
        for group in groups
        for index, name in enumerate(schema.names)
        if name in _BOUNDS or name in rows.REQUIRED
    )


_BOUNDS: dict[str, tuple[Any, Any]] = {
    **{name: (0, rows.INTEGERS.get(name, sys.float_info.max)) for name in rows.MEASURES},
    "arrived_at": rows.ERA,
}


def _in_bounds(name: str, found: pq.Statistics | None) -> bool:
    """Tell whether a part's least and greatest value are possible; False where it does not say."""
    if found is None or (name in rows.REQUIRED and found.null_count != 0):
        return False
    if name not in _BOUNDS or not found.num_values:
        return True
    least, most = _BOUNDS[name]
    return bool(found.has_min_max and least <= found.min and found.max <= most)


def look(
    path: Path,
    at: Callable[[pq.ParquetFile], Any],
    *,
    checksums: bool = False,
    any_version: bool = False,
) -> Any:
    """Open a file and return what ``at`` finds in it.

    Raises:
        HistoryError: it is unreadable or of a later version.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=checksums) as file:
            if not any_version:
                check_version(file.schema_arrow.metadata, name_of(path))
            return at(file)
    except (OSError, pa.ArrowInvalid) as error:
        known = isinstance(error, OSError) and error.errno
        reason = explain(error) if known else "is damaged or no Parquet file"
        raise HistoryError(
            f"history file {str(path)!r} {reason}; 'lightmeter history repair' sets it aside and keeps what it still holds"
        ) from error


def name_of(path: Path) -> str:
    """Name a file by its day and its own name."""
    return f"{path.parent.name}/{path.name}"


def version_of(metadata: Mapping[bytes, bytes] | None) -> str:
    """Return the version that a file's metadata states, as it is written there."""
    return (metadata or {}).get(VERSION_KEY, b"1").decode("utf-8", "replace")


def check_version(metadata: Mapping[bytes, bytes] | None, where: str) -> None:
    """Refuse a file of a schema that this program does not know.

    Raises:
        HistoryError: naming the file and its version.
    """
    found = version_of(metadata)
    if not found.isascii() or not found.isdigit() or not 1 <= int(found) <= VERSION:
        raise HistoryError(f"{where}: its schema is version {found[:40]!r}, and this lightmeter reads 1 to {VERSION}; upgrade lightmeter, or keep that file elsewhere")  # fmt: skip
