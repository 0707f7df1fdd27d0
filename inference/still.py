"""A stand-in engine without a model: flat grey pictures after a stated time.

It lets a dashboard, an alert or a queue be tried without torch. Its pictures are grey on purpose.
"""

from __future__ import annotations

import time

import numpy as np

from inference.engine import Job, Loaded, Result
from lightmeter.catalog import Clock, Stage


DEFAULT_SIDE = 64


class StillEngine:
    """Take ``step_seconds`` for each step and return grey ``seed % 256``."""

    def __init__(self, step_seconds: float = 0.002) -> None:
        self._step_seconds = step_seconds

    def generate(self, job: Job) -> Result:
        """Sleep through the steps and fill the pictures."""
        began = time.perf_counter()
        steps = tuple(self._step() for _ in range(job.steps))
        shape = (job.images, job.height, job.width, 3)
        greys = [(job.seed + index) % 256 for index in range(job.images)]
        pixels = np.broadcast_to(np.array(greys, dtype=np.uint8)[:, None, None, None], shape).copy()
        spent = time.perf_counter() - began
        return Result(
            pixels=pixels,
            stages={Stage.DENOISE: sum(steps), Stage.TRANSFER: spent - sum(steps)},
            steps=steps,
            clock=Clock.HOST,
            forwards=job.steps,
            gpu_seconds=spent,
            peak_vram_bytes=None,
        )

    def _step(self) -> float:
        began = time.perf_counter()
        time.sleep(self._step_seconds)
        return time.perf_counter() - began


def load() -> Loaded:
    """Return the stand-in; nothing is loaded."""
    return Loaded(
        engine=StillEngine(),
        default_side=DEFAULT_SIDE,
        device="none",
        gpu_name=None,
        gpu_uuid=None,
        phases={},
    )
