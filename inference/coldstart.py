"""From nothing to a worker that serves, measured by phase.

What can be done at the same time is: the weight files are read into the system's cache while the
libraries are imported. What need not be done is not: the warm-ups are of one step.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from pathlib import Path

from inference import still, tinymodel, warmup, weights, zimage
from inference.engine import Loaded
from inference.setup import FULL, STILL, TINY, Setup
from lightmeter import logs
from lightmeter.catalog import LoadPhase


_log = logging.getLogger(__name__)


def start(model: str, tiny: str, setup: Setup) -> Loaded:
    """Load a model and make its first pictures; ``tiny`` is the folder of the built-in pipeline.

    Raises:
        OSError, ValueError: the folder is not whole. OutOfMemory: no warm-up fits.
    """
    if model == STILL:
        loaded = still.load(setup)
        seen = warmup.warm_up(loaded.engine, warmup.batches(setup.warmup_shapes, loaded))
        return dataclasses.replace(loaded, memory_seen=seen)
    began = time.perf_counter()
    folder = Path(tiny if model == TINY else model)
    if model != FULL:
        weights.read_ahead(folder)
    zimage.import_libraries()
    logs.adopt("diffusers", "transformers")
    imported = time.perf_counter() - began
    if model == TINY and not (folder / "model_index.json").exists():
        tinymodel.build_tiny(folder)
    loaded = zimage.load(model if model == FULL else str(folder), setup)
    _log.info("the model lies so: %s", loaded.placement)
    return _warmed(loaded, setup, imported)


def _warmed(loaded: Loaded, setup: Setup, imported: float) -> Loaded:
    phases = {LoadPhase.IMPORT: imported, **loaded.phases}
    if loaded.compiled:
        compiling = time.perf_counter()
        warmup.warm_up(loaded.engine, warmup.strangers(loaded.default_side))
        phases[LoadPhase.COMPILE] = time.perf_counter() - compiling
    warming = time.perf_counter()
    seen = warmup.warm_up(loaded.engine, warmup.batches(setup.warmup_shapes, loaded))
    phases[LoadPhase.WARMUP] = time.perf_counter() - warming
    return dataclasses.replace(loaded, phases=phases, memory_seen=seen)
