"""The default ports, which only one test at a time can have."""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def default_ports() -> Iterator[None]:
    """Have the default ports to oneself, also beside tests in other processes."""
    with (Path(tempfile.gettempdir()) / "lightmeter-default-ports.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
