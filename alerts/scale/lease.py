"""One writer: whoever holds the lock of a file may act; the kernel takes it from the dead."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Protocol

from lightmeter.errors import InputError, explain


class Writer(Protocol):
    """The right to act, which one of several scalers has."""

    @property
    def held(self) -> bool:
        """Say whether it is ours now."""
        ...

    @property
    def holder(self) -> str:
        """Name who has it."""
        ...

    def take(self) -> bool:
        """Try to get or keep it; say whether it is ours."""
        ...

    def close(self) -> None:
        """Give it back."""
        ...


class Lease:
    """A lock on ``folder/lease``; the file holds the process that has it."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "lease"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise InputError(f"lease {str(self._path)!r} {explain(error)}; give another --data") from error  # fmt: skip
        self.held = False

    def take(self) -> bool:
        """Try to get it; say whether it is ours. It stays ours until `close` or the process's end."""
        if not self.held:
            with contextlib.suppress(OSError):
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self.held = True
                os.ftruncate(self._file, 0)
                os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)
        return self.held

    @property
    def holder(self) -> str:
        """Name the process that has it."""
        with contextlib.suppress(OSError):
            number = os.pread(self._file, 32, 0).decode(errors="replace").strip()
            return f"process {number}" if number else "nobody"
        return "nobody"

    def close(self) -> None:
        """Give it back."""
        os.close(self._file)
        self.held = False


class Both:
    """Two rights that one needs both of: a lock on the folder, and a lease in the cluster."""

    def __init__(self, folder: Writer, cluster: Writer) -> None:
        self._folder, self._cluster = folder, cluster

    @property
    def held(self) -> bool:
        """Say whether both are ours now."""
        return self._folder.held and self._cluster.held

    @property
    def holder(self) -> str:
        """Name who has what we lack."""
        return self._cluster.holder if self._folder.held else self._folder.holder

    def take(self) -> bool:
        """Try to get both; the cluster's only with the folder's."""
        return self._folder.take() and self._cluster.take()

    def close(self) -> None:
        """Give both back."""
        self._cluster.close()
        self._folder.close()
