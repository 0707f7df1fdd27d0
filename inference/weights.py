"""The weight files of a pipeline's folder: how large they will be, and read ahead of their use."""

from __future__ import annotations

import json
import math
import struct
import threading
from collections.abc import Iterator
from pathlib import Path


_CHUNK = 16 * 2**20
_VARIANTS = (".fp16.", ".bf16.")
"""Marks of files that hold the same weights again in another format, which we do not load."""


def files(folder: Path) -> Iterator[Path]:
    """Yield the safetensors files of the components."""
    for path in sorted(folder.glob("*/*.safetensors")):
        if not any(variant in path.name for variant in _VARIANTS):
            yield path


def component_bytes(folder: Path, number_bytes: int) -> dict[str, int]:
    """Tell what each component will take with numbers of so many bytes, from the headers alone."""
    sizes: dict[str, int] = {}
    for path in files(folder):
        sizes[path.parent.name] = sizes.get(path.parent.name, 0) + _numbers(path) * number_bytes
    return sizes


def largest_file(folder: Path) -> int:
    """Bytes of the largest file; 0 where there is none."""
    return max((path.stat().st_size for path in files(folder)), default=0)


def read_ahead(folder: Path) -> None:
    """Bring the files into the system's cache, in the background, while libraries are imported.

    A file that cannot be read is passed over: who loads it will say what is wrong.
    """
    for path in files(folder):
        threading.Thread(target=_read, args=(path,), name="read-ahead", daemon=True).start()


def _read(path: Path) -> None:
    try:
        with path.open("rb", buffering=0) as file:
            while file.read(_CHUNK):
                pass
    except OSError:
        return


def _numbers(path: Path) -> int:
    """Count the numbers in a safetensors file; 0 where it has no sound header.

    Its header is a length, eight little-endian bytes, then JSON:
    https://github.com/huggingface/safetensors#format
    """
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(min(length, 100_000_000)))
        return sum(math.prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")  # fmt: skip
    except (OSError, ValueError, LookupError, TypeError, AttributeError, struct.error):
        return 0
