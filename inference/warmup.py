"""The pictures that a worker makes before it calls itself ready.

The first call of a size pays for what the libraries put off, and its peak teaches what larger
batches will need. One step shows both: the steps after it do the same again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from inference.engine import Engine, Job, OutOfMemory, warmup_job
from inference.memory import STEP_OF_SIDE, Shape


_log = logging.getLogger(__name__)


def lessons(side: int) -> list[Job]:
    """Describe the smallest pictures that tell apart what grows with the area and with their number."""
    half, quarter = (max(side // part // STEP_OF_SIDE, 1) * STEP_OF_SIDE for part in (2, 4))
    return [warmup_job(quarter, 1), warmup_job(quarter, 1, 2), warmup_job(half, 1, 2)]


def warm_up(engine: Engine, jobs: Iterable[Job]) -> list[tuple[int, int, int]]:
    """Make the pictures; return what each needed: pixels, pictures, peak bytes.

    Raises:
        OutOfMemory: not even one of them fits.
    """
    seen = []
    refusal: OutOfMemory | None = None
    for each in jobs:
        try:
            result = engine.generate([each], lambda: False)
        except OutOfMemory as error:
            refusal = error
            _log.warning("no memory to warm up at %dx%d", each.width, each.height)
        else:
            shape = Shape.of(each.width, each.height, each.images)
            seen.append((*shape, result.peak_vram_bytes or 0))
    if refusal and not seen:
        raise refusal
    return seen
