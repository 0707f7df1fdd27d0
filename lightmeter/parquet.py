"""One Parquet file of usage rows: written whole or not at all, with the version of its schema.

The version is the key `VERSION_KEY` of the file's metadata. Files without it are of version 1, in
which `lightmeter` wrote what it wrote before it kept count; a file of a later version than
`VERSION` is refused rather than half understood.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lightmeter import rows, within
from lightmeter.errors import HistoryError, explain, printable
from lightmeter.tables import SCHEMA, fitted, validated


VERSION = 2
"""1: columns could be missing; 2: the version is in the file, and each page has a checksum."""
VERSION_KEY = b"lightmeter.history.schema"
MOST_ROWS = 20_000_000
"""Of a file, which takes 4 GB when it is read; a row may take no room in it at all."""
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


def has_types(path: Path) -> bool:
    """Tell whether a file's columns are of the types of `SCHEMA`, so that nothing must be cast.

    Raises:
        HistoryError: it is unreadable, of a later version, or has wrong columns.
    """
    schema, names = look(path, lambda file: (file.schema_arrow, file.schema_arrow.names))
    rows.check_columns(names, name_of(path))
    return all(field.type == SCHEMA.field(field.name).type for field in schema)


def look(
    path: Path,
    at: Callable[[pq.ParquetFile], Any],
    *,
    checksums: bool = False,
    any_version: bool = False,
) -> Any:
    """Open a file and return what ``at`` finds in it.

    Raises:
        HistoryError: it is unreadable, too long, or of a later version.
    """
    within.check(path, "history file")
    try:
        with pq.ParquetFile(path, page_checksum_verification=checksums) as file:
            if file.metadata.num_rows > MOST_ROWS:
                raise HistoryError(f"history file {str(path)!r} says that it has {file.metadata.num_rows} rows, more than {MOST_ROWS}; move it aside, or write it in parts")  # fmt: skip
            if not any_version:
                check_version(file.schema_arrow.metadata, name_of(path))
            return at(file)
    except (OSError, ValueError, pa.ArrowException) as error:  # a name that is no text, too
        reason = "is damaged or no Parquet file"
        if isinstance(error, OSError) and error.errno:
            reason = explain(error)
        raise HistoryError(
            f"history file {str(path)!r} {reason}; 'lightmeter history repair' sets it aside and keeps what it still holds"
        ) from error


def name_of(path: Path) -> str:
    """Name a file by its day and its own name."""
    return printable(f"{path.parent.name}/{path.name}")


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
