"""The pictures that a worker makes before it calls itself ready.

The first call of a size pays for what the libraries put off, and its peak teaches what larger
batches will need. One step shows both: the steps after it do the same again.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable

from inference.engine import Engine, Job, Loaded, OutOfMemory, warmup_job
from inference.memory import Shape
from lightmeter.units import STEP_OF_SIDE


_log = logging.getLogger(__name__)


def batches(shapes: str, loaded: Loaded) -> list[list[Job]]:
    """List what a worker makes first: sizes like ``512x512,1024x1024``, or the model's own.

    Where memory is counted, the lessons come before.
    """
    side = loaded.default_side
    wanted = [_sized(shape) for shape in shapes.split(",")] if shapes else [warmup_job(side, 1)]
    first = lessons(side) if loaded.memory_total_bytes is not None else []
    return first + [[job] for job in wanted]


def lessons(side: int) -> list[list[Job]]:
    """Describe the smallest batches that tell apart what grows with the area and with the number."""
    half, quarter = (max(side // part // STEP_OF_SIDE, 1) * STEP_OF_SIDE for part in (2, 4))
    return [[warmup_job(quarter, 1)], [warmup_job(quarter, 1, 2)], [warmup_job(half, 1, 2)]]


def strangers(side: int) -> list[list[Job]]:
    """Describe batches of each kind that a compiler tells apart: one, several, several lengths."""
    job = warmup_job(side, 1)
    long = dataclasses.replace(job, prompt=job.prompt * 40)
    return [[job], [job, job], [job, long]]


def warm_up(engine: Engine, batches: Iterable[list[Job]]) -> list[tuple[int, int, int]]:
    """Make the pictures; return what each batch needed: pixels, pictures, peak bytes.

    Raises:
        OutOfMemory: not even one of them fits.
    """
    seen = []
    refusal: OutOfMemory | None = None
    for batch in batches:
        images = sum(job.images for job in batch)
        shape = Shape.of(batch[0].width, batch[0].height, images)
        try:
            result = engine.generate(batch, lambda: False)
        except OutOfMemory as error:
            refusal = error
            _log.warning("no memory to warm up %dx%d", batch[0].width, batch[0].height)
        else:
            seen.append((*shape, result.peak_vram_bytes or 0))
    if refusal and not seen:
        raise refusal
    return seen


def _sized(shape: str) -> Job:
    width, _, height = shape.partition("x")
    return dataclasses.replace(warmup_job(0, 1), width=int(width), height=int(height))
