"""How a worker is to hold and run its model: what of the settings reaches beyond the API process."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal


Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True, kw_only=True)
class Setup:
    """The settings of `lightmeter.settings.Serve` of the same names, for worker ``index``."""

    device: Device = "auto"
    index: int = 0
    threads: int = 1
    deterministic: bool = False
    vram_cap: str = ""


def held(settings: object) -> dict[str, Any]:
    """Pick the settings that reach a worker as they are."""
    names = {field.name for field in dataclasses.fields(Setup)} - {"index", "threads"}
    return {name: getattr(settings, name) for name in names}
