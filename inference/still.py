"""A stand-in engine without a model: patchworks of grey after a stated time.

It lets a dashboard, an alert or a queue be tried without torch. Where the prompt is the name of a
fault (`black`, `flat`, `nan`, `noise`, `blur`, `duplicate`) its pictures have it, so that guards
and what hangs on them can be tried too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from inference.engine import Job, Loaded, OutOfMemory, Pixels, Result, Stopped
from inference.setup import Setup
from lightmeter.catalog import Anomaly, Clock, Stage
from lightmeter.units import parse_part


DEFAULT_SIDE = 64
BASE_BYTES = 8 * 2**30
"""What its weights would take."""
BYTES_PER_PIXEL = 1024
MOST_PIXELS = 2**24
"""Pixels for which there would be room on a GPU of 24 GiB."""
TOTAL_BYTES = BASE_BYTES + MOST_PIXELS * BYTES_PER_PIXEL
_PATCHES = 8
_MANY, _LARGE = 3, 2**20


class StillEngine:
    """Take ``step_seconds`` for each step, however large the batch; each seed has its patchwork."""

    def __init__(self, step_seconds: float = 0.002, total_bytes: int = TOTAL_BYTES) -> None:
        self._step_seconds = step_seconds
        self._total_bytes = total_bytes

    def generate(self, jobs: Sequence[Job], stop: Callable[[], bool]) -> Result:
        """Sleep through the steps and fill the pictures."""
        began = time.perf_counter()
        head = jobs[0]
        wanted = [(job.prompt, job.seed + index) for job in jobs for index in range(job.images)]
        peak = _peak(head.width, head.height, len(wanted))
        if peak > self._total_bytes:
            raise OutOfMemory(f"{len(wanted)} pictures of {head.width}x{head.height} do not fit")
        steps: tuple[float, ...] = ()
        for _ in range(head.steps):
            steps += (self._step(),)
            if stop():
                raise Stopped(time.perf_counter() - began)
        pixels = np.stack([_paint(*what, head.width, head.height) for what in wanted])
        spent = time.perf_counter() - began
        return Result(
            pixels=pixels,
            nan=tuple(prompt == Anomaly.NAN for prompt, _ in wanted),
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


def _peak(width: int, height: int, images: int) -> int:
    """Bytes for a batch; several large pictures take a quarter more, so that no model is perfect."""
    pixels = width * height * images
    scattered = pixels // 4 if images > _MANY and width * height > _LARGE else 0
    return BASE_BYTES + (pixels + scattered) * BYTES_PER_PIXEL


def _paint(prompt: str, seed: int, width: int, height: int) -> Pixels:
    """Paint a picture (height, width, 3): the fault that the prompt names, or a patchwork."""
    chance = np.random.default_rng(0 if prompt == Anomaly.DUPLICATE else seed % 2**64)
    levels: npt.NDArray[Any]
    if prompt in (Anomaly.BLACK, Anomaly.NAN):
        levels = np.zeros((height, width))
    elif prompt == Anomaly.FLAT:
        levels = np.full((height, width), 127)
    elif prompt == Anomaly.NOISE:
        levels = chance.integers(0, 256, (height, width))
    elif prompt == Anomaly.BLUR:
        levels = np.broadcast_to(np.linspace(0, 255, width), (height, width))
    else:
        patches = chance.integers(48, 208, (_PATCHES, _PATCHES))
        rows, columns = (np.arange(side) * _PATCHES // side for side in (height, width))
        levels = patches[rows][:, columns]
    return np.repeat(levels.astype(np.uint8)[:, :, None], 3, axis=2)


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
