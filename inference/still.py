"""A stand-in engine without a model: flat grey pictures after a stated time.

It lets a dashboard, an alert or a queue be tried without torch. Its pictures are grey on purpose.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from inference.engine import Job, Loaded, OutOfMemory, Result, Stopped
from inference.setup import Setup
from lightmeter.catalog import Clock, Stage
from lightmeter.units import parse_part


DEFAULT_SIDE = 64
BASE_BYTES = 8 * 2**30
"""What its weights would take."""
BYTES_PER_PIXEL = 1024
MOST_PIXELS = 2**24
"""Pixels of a batch beyond which it runs out of memory, as a GPU of 24 GiB would."""
TOTAL_BYTES = BASE_BYTES + MOST_PIXELS * BYTES_PER_PIXEL


class StillEngine:
    """Take ``step_seconds`` for each step, however large the batch, and return grey ``seed % 256``."""

    def __init__(self, step_seconds: float = 0.002, total_bytes: int = TOTAL_BYTES) -> None:
        self._step_seconds = step_seconds
        self._total_bytes = total_bytes

    def generate(self, jobs: Sequence[Job], stop: Callable[[], bool]) -> Result:
        """Sleep through the steps and fill the pictures."""
        began = time.perf_counter()
        head = jobs[0]
        greys = [(job.seed + index) % 256 for job in jobs for index in range(job.images)]
        shape = (len(greys), head.height, head.width, 3)
        peak = BASE_BYTES + head.height * head.width * len(greys) * BYTES_PER_PIXEL
        if peak > self._total_bytes:
            raise OutOfMemory(f"{len(greys)} pictures of {head.width}x{head.height} do not fit")
        steps: tuple[float, ...] = ()
        for _ in range(head.steps):
            steps += (self._step(),)
            if stop():
                raise Stopped(time.perf_counter() - began)
        pixels = np.broadcast_to(np.array(greys, dtype=np.uint8)[:, None, None, None], shape).copy()
        spent = time.perf_counter() - began
        return Result(
            pixels=pixels,
            nan=(False,) * len(greys),
            stages={Stage.DENOISE: sum(steps), Stage.TRANSFER: spent - sum(steps)},
            steps=steps,
            clock=Clock.HOST,
            forwards=head.steps,
            gpu_seconds=spent,
            peak_vram_bytes=peak,
        )

    def _step(self) -> float:
        began = time.perf_counter()
        time.sleep(self._step_seconds)
        return time.perf_counter() - began


def load(setup: Setup) -> Loaded:
    """Return the stand-in; nothing is loaded."""
    total = parse_part(setup.vram_cap or "1", TOTAL_BYTES)
    return Loaded(
        engine=StillEngine(total_bytes=total),
        default_side=DEFAULT_SIDE,
        device="none",
        gpu_name=None,
        gpu_uuid=None,
        phases={},
        memory_total_bytes=total,
        memory_base_bytes=BASE_BYTES,
    )
