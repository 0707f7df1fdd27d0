"""The LoRAs that a server offers: ``NAME.safetensors`` in one folder, looked at before any is loaded.

Only safetensors, a format of numbers: the other one, pickle, runs what is in it.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

from safetensors import SafetensorError, safe_open

from lightmeter.errors import InputError, explain, nearest


SUFFIX = ".safetensors"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)
_MARKS = ("lora", "lokr")
"""One of them is in the name of every adapter's tensors (diffusers 0.42, `load_lora_weights`)."""


def names(folder: Path) -> list[str]:
    """List the LoRAs of a folder by name; none where it cannot be read."""
    try:
        files = [path.name for path in folder.iterdir() if path.suffix == SUFFIX]
    except OSError:
        return []
    return sorted(stem for name in files if _NAME.fullmatch(stem := name.removesuffix(SUFFIX)))


def check(folder: Path | None, name: str) -> Path:
    """Find a LoRA by name and look whether it is one; returns its file.

    Raises:
        InputError: there is none of that name, or the file is no LoRA.
    """
    if folder is None:
        raise InputError(f"lora is {name[:40]!r}; this server has no folder of them (serve.loras)")
    if not _NAME.fullmatch(name):
        raise InputError(
            f"lora is {name[:40]!r}; a name has up to 100 letters, digits, '.', '_' and '-'"
        )
    path = folder / f"{name}{SUFFIX}"
    try:
        state = path.stat()
        fault = _fault(path, state.st_mtime_ns, state.st_size)
    except FileNotFoundError as error:
        raise InputError(
            f"lora is {name!r}; there is none of that name{nearest(name, names(folder))}"
        ) from error
    except OSError as error:
        raise InputError(f"lora {name!r} {explain(error)}") from error
    if fault:
        raise InputError(f"lora {name!r} cannot be used: {fault}")
    return path


@functools.lru_cache(maxsize=256)
def _fault(path: Path, _changed: int, _size: int) -> str:
    """Say what is wrong with a file, from its header alone; "" where nothing is."""
    try:
        with safe_open(path, framework="numpy") as file:
            tensors = list(file.keys())
    except SafetensorError as error:
        return f"its file is damaged ({error})"
    if not any(mark in tensor for tensor in tensors for mark in _MARKS):
        return "its file holds no LoRA"
    return ""
