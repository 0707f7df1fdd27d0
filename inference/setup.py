"""How a worker is to hold and run its model: what of the settings reaches beyond the API process."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal


STILL, TINY, FULL = "still", "tiny", "full"
"""Models that are not files: grey pictures, a pipeline made on the spot, and one of full size made on
the device."""
Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True, kw_only=True)
class Setup:
    """The settings of `lightmeter.settings.Serve` of the same names, for worker ``index``."""

    device: Device = "auto"
    index: int = 0
    threads: int = 1
    deterministic: bool = False
    vram_cap: str = ""
    offload: str = "auto"
    vae: str = "auto"
    gpus_per_worker: int = 1
    compile: str = "off"
    batch: int = 8
    warmup_shapes: str = ""
    loras: str = ""
    lora_slots: int = 4


def held(settings: object) -> dict[str, Any]:
    """Pick the settings that reach a worker as they are."""
    names = {field.name for field in dataclasses.fields(Setup)} - {"index", "threads"}
    return {name: _plain(getattr(settings, name)) for name in names}


def _plain(value: Any) -> Any:
    """Turn a path, or the lack of one, into text, as a frame can carry it."""
    if isinstance(value, Path):
        return str(value.absolute())
    return "" if value is None else value
