"""What a worker asks of a model: one method, one frozen job in, one frozen result out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from lightmeter.catalog import Clock, LoadPhase, Stage


Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Job:
    """One validated request, as the model sees it. Sizes in pixels; picture i uses ``seed + i``."""

    prompt: str
    negative_prompt: str | None
    width: int
    height: int
    images: int
    steps: int
    guidance: float
    seed: int


@dataclass(frozen=True, kw_only=True)
class Result:
    """What came out, and what it took.

    ``pixels`` is (images, height, width, 3) uint8. ``stages`` and ``steps`` are seconds by
    ``clock``; ``forwards`` counts what the transformer really executed. ``peak_vram_bytes`` is
    None where there is no GPU.
    """

    pixels: Pixels
    stages: dict[Stage, float]
    steps: tuple[float, ...]
    clock: Clock
    forwards: int
    gpu_seconds: float
    peak_vram_bytes: int | None


class Engine(Protocol):
    """A loaded model. Not thread-safe: one call at a time."""

    def generate(self, job: Job) -> Result:
        """Make the pictures of one job."""
        ...


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A model that is ready: its engine, what it ran on and how long the cold start took.

    ``default_side`` is the picture side, in pixels, that the model was made for.
    ``phases`` is seconds for each part of the cold start.
    """

    engine: Engine
    default_side: int
    device: str
    gpu_name: str | None
    gpu_uuid: str | None
    phases: dict[LoadPhase, float]


def warmup_job(side: int, steps: int) -> Job:
    """Describe the picture that a worker makes before it calls itself ready."""
    return Job(
        prompt="warm-up",
        negative_prompt=None,
        width=side,
        height=side,
        images=1,
        steps=steps,
        guidance=0.0,
        seed=0,
    )
