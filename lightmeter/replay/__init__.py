"""Exact replay of arrivals through GPUs, on the user's own requests.

Each module is a way to serve: `fixed` GPUs, a `pooled` fleet that swaps models and may take urgent
requests first, an `elastic` one, models `together` on a GPU, and GPUs by a `timetable`. Pure:
arrays in, arrays out; seconds throughout. Arrivals are sorted; ``arrivals``, ``services`` and
results are float arrays of shape (n,).
"""

from lightmeter.replay.elastic import Elastic, elastic, peak
from lightmeter.replay.engine import Engine, Floats, Integers, have_numba, order_of
from lightmeter.replay.fixed import waits
from lightmeter.replay.pooled import Pool, pool, ranked
from lightmeter.replay.timetable import Timed, Timetable, timed
from lightmeter.replay.together import Replicas, Together, together


__all__ = [
    "Elastic",
    "Engine",
    "Floats",
    "Integers",
    "Pool",
    "Replicas",
    "Timed",
    "Timetable",
    "Together",
    "elastic",
    "have_numba",
    "order_of",
    "peak",
    "pool",
    "ranked",
    "timed",
    "together",
    "waits",
]
