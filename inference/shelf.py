"""Files by name in a folder, or behind any fsspec URL. Blocking; errors of every backend are one.

https://filesystem-spec.readthedocs.io lists the URLs; those of object stores need a package more.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from lightmeter.errors import SettingError, StoreError, explain
from lightmeter.units import without_password


_WRITTEN = ("mtime", "LastModified", "last_modified", "updated", "modified", "created")
"""What the backends call the time of writing, the surest first."""


@dataclass(frozen=True)
class Entry:
    """A file on the shelf: ``size`` in bytes, ``at`` in seconds since 1970."""

    name: str
    size: int
    at: float


class Shelf:
    """One folder or URL. Names are plain file names; a file appears whole or not at all."""

    def __init__(self, place: str) -> None:
        """Open the place, and make it where it is a folder that is not there.

        Raises:
            SettingError: no such kind of URL, or its package is missing.
            StoreError: it cannot be made.
        """
        self.place = without_password(place)
        """For messages."""
        with self._refusals():
            self._files, self._root = _opened(place)
            self._files.makedirs(self._root, exist_ok=True)

    def write(self, name: str, data: bytes) -> None:
        """Put a file on the shelf."""
        with self._refusals():
            if isinstance(self._files, LocalFileSystem):
                self._write_local(name, data)
            else:
                self._files.pipe_file(self._path(name), data)  # object stores put files whole

    def _write_local(self, name: str, data: bytes) -> None:
        partial = Path(self._path(f".{name}.{os.getpid()}-{threading.get_ident()}"))
        try:
            partial.write_bytes(data)
            partial.replace(self._path(name))
        except OSError:
            partial.unlink(missing_ok=True)
            raise

    def read(self, name: str) -> bytes | None:
        """Return a file's bytes; None where it is not there."""
        with self._refusals():
            try:
                return bytes(self._files.cat_file(self._path(name)))
            except FileNotFoundError:
                return None

    def entry(self, name: str) -> Entry | None:
        """Say how large and how old a file is; None where it is not there."""
        with self._refusals():
            try:
                return _entry(self._files.info(self._path(name)))
            except FileNotFoundError:
                return None

    def entries(self) -> list[Entry]:
        """List the shelf."""
        with self._refusals():
            found = self._files.ls(self._root, detail=True, refresh=True)
            return [_entry(info) for info in found if info["type"] == "file"]

    def remove(self, name: str) -> None:
        """Take a file away, if it is there."""
        with self._refusals(), contextlib.suppress(FileNotFoundError):
            self._files.rm_file(self._path(name))

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    @contextlib.contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except SettingError:
            raise
        except OSError as error:
            raise StoreError(f"picture store {self.place!r} {explain(error)}") from error
        except Exception as error:  # each backend raises errors of its own
            reason = without_password(str(error)) or type(error).__name__
            raise StoreError(f"picture store {self.place!r} failed: {reason}") from error


def _opened(place: str) -> Any:
    """Open a place; returns its file system and the path in it."""
    try:
        return url_to_fs(place, use_listings_cache=False)
    except (ImportError, ValueError) as error:
        raise SettingError(
            f"serve.store is {without_password(place)!r}: {error}; give a folder, or a URL whose fsspec package is installed"
        ) from error


def _entry(info: dict[str, Any]) -> Entry:
    at = next((info[key] for key in _WRITTEN if info.get(key) is not None), time.time())
    if isinstance(at, str):
        at = datetime.fromisoformat(at)
    seconds = at.timestamp() if isinstance(at, datetime) else float(at)
    return Entry(info["name"].rstrip("/").rpartition("/")[2], int(info["size"] or 0), seconds)
