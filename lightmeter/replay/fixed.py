"""So many GPUs, all alike: G/G/c, first come, first served. Pure.

The recursion is Kiefer and Wolfowitz's (https://doi.org/10.1090/S0002-9947-1955-0066587-7): keep the
time at which each server becomes free; a request starts at the later of its arrival and the
earliest of those times.
"""

from __future__ import annotations

import functools
import heapq
from collections.abc import Callable

import numpy as np

from lightmeter.replay.engine import Engine, Floats, floats, have_numba, need_equal, need_one


def waits(arrivals: Floats, services: Floats, servers: int, engine: Engine = "auto") -> Floats:
    """Wait of each request before its service starts, with ``servers`` identical GPUs (G/G/c).

    ``engine`` picks the implementation; ``auto`` takes numba where it is installed (extra
    ``fast``). Both give the same floats.
    """
    need_one(servers)
    need_equal(arrivals, services)
    arrivals, services = floats(arrivals), floats(services)
    if engine == "numba" or (engine == "auto" and have_numba()):
        return _compiled()(arrivals, services, servers)
    return _waits_heap(arrivals, services, servers)


def _waits_heap(arrivals: Floats, services: Floats, servers: int) -> Floats:
    free = [0.0] * servers
    swap = heapq.heapreplace
    # heapreplace returns the earliest free time, which is all that the wait needs
    earliest = [
        swap(free, (arrival if arrival > free[0] else free[0]) + service)  # noqa: FURB136  (max() takes 1.6 times as long)
        for arrival, service in zip(arrivals.tolist(), services.tolist(), strict=True)
    ]
    return np.maximum(np.asarray(earliest, dtype=np.float64) - arrivals, 0.0)


@functools.cache
def _compiled() -> Callable[[Floats, Floats, int], Floats]:
    import numba

    def scan(arrivals: Floats, services: Floats, servers: int) -> Floats:
        free = np.zeros(servers)
        result = np.empty(len(arrivals))
        for i in range(len(arrivals)):
            first = 0
            for j in range(1, servers):
                if free[j] < free[first]:
                    first = j
            start = max(arrivals[i], free[first])
            result[i] = max(free[first] - arrivals[i], 0.0)
            free[first] = start + services[i]
        return result

    compiled: Callable[[Floats, Floats, int], Floats] = numba.njit(cache=True, nogil=True)(scan)
    return compiled
