"""Generated files put where somebody may be reading them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lightmeter.errors import InputError, explain


def put(out: Path, texts: Mapping[str, str], option: str = "--out") -> None:
    """Put each file in its place under ``out`` in one step; ``option`` is the one that named it.

    Raises:
        InputError: naming the file that cannot be written.
    """
    for name, text in texts.items():
        path = out / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            beside = path.with_name(f".{path.name}.new")
            beside.write_text(text)
            beside.replace(path)
        except OSError as error:
            raise InputError(
                f"file {str(path)!r} {explain(error)}; give another {option}"
            ) from error
