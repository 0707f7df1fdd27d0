"""How a worker is to hold and run its model: what of the settings reaches beyond the API process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True, kw_only=True)
class Setup:
    """The settings of `lightmeter.settings.Serve` of the same names, for worker ``index``."""

    device: Device = "auto"
    index: int = 0
    threads: int = 1
    deterministic: bool = False
