"""Exact replay of arrivals through GPUs: first come, first served, on the user's own requests.

The recursion is Kiefer and Wolfowitz's (https://doi.org/10.1090/S0002-9947-1955-0066587-7): keep the
time at which each server becomes free; a request starts at the later of its arrival and the
earliest of those times. Pure: arrays in, arrays out; seconds throughout.

Arrivals are sorted; ``arrivals``, ``services`` and results are float arrays of shape (n,).
"""

from __future__ import annotations

import bisect
import functools
import heapq
import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt


Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Engine = Literal["auto", "python", "numba"]


def waits(arrivals: Floats, services: Floats, servers: int, engine: Engine = "auto") -> Floats:
    """Wait of each request before its service starts, with ``servers`` identical GPUs (G/G/c).

    ``engine`` picks the implementation; ``auto`` takes numba where it is installed (extra
    ``fast``). Both give the same floats.
    """
    _need_one(servers)
    if len(arrivals) != len(services):
        raise ValueError(
            f"{len(arrivals)} arrivals and {len(services)} services; one of each is needed"
        )
    arrivals = np.ascontiguousarray(arrivals, dtype=np.float64)
    services = np.ascontiguousarray(services, dtype=np.float64)
    if engine == "numba" or (engine == "auto" and have_numba()):
        return _compiled()(arrivals, services, servers)
    return _waits_heap(arrivals, services, servers)


def _need_one(servers: int) -> None:
    if servers < 1:
        raise ValueError(f"{servers} GPUs are asked for; at least one is needed")


def have_numba() -> bool:
    """Tell whether the extra ``fast`` is installed."""
    return importlib.util.find_spec("numba") is not None


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

    compiled: Callable[[Floats, Floats, int], Floats] = numba.njit(cache=True)(scan)
    return compiled


@dataclass(frozen=True)
class Pool:
    """A shared pool replayed: each request's wait (swap included) and whether it swapped."""

    waits: Floats
    swapped: npt.NDArray[np.bool_]


def pool(
    arrivals: Floats, services: Floats, models: Integers, *, servers: int, swap: float
) -> Pool:
    """Replay a pool whose GPUs hold one model each and swap it in ``swap`` seconds when needed.

    ``models`` is an int array (n,). A request goes where its execution starts first, the swap
    included; on a tie to the GPU that has its model. Among idle GPUs without it, the one idle
    longest gives up its model. At the start the models used most are loaded, one on each GPU, and
    over again where there are more GPUs than models.
    """
    _need_one(servers)
    free = [0.0] * servers
    resident = _most_used(models, servers)
    n = len(arrivals)
    result, swapped = np.empty(n), np.zeros(n, dtype=np.bool_)
    rows = zip(arrivals.tolist(), services.tolist(), models.tolist(), strict=True)
    for i, (arrival, service, model) in enumerate(rows):
        first, first_free = 0, math.inf
        own, own_free = -1, math.inf
        for j in range(servers):
            at = free[j]
            if resident[j] == model:
                if at < own_free:
                    own, own_free = j, at
            elif at < first_free:
                first, first_free = j, at
        start = max(arrival, first_free) + swap
        if own >= 0 and max(arrival, own_free) <= start:
            first, start = own, max(arrival, own_free)
        else:
            swapped[i] = True
            resident[first] = model
        result[i] = start - arrival
        free[first] = start + service
    return Pool(result, swapped)


def _most_used(models: Integers, servers: int) -> list[int]:
    """Return a model for each GPU: the ones used most, over again where there are fewer."""
    known, counts = np.unique(models, return_counts=True)
    popular = known[np.argsort(-counts, kind="stable")].tolist()
    return [popular[j % len(popular)] for j in range(servers)] if popular else [-1] * servers


@dataclass(frozen=True)
class Elastic:
    """On-demand GPUs replayed: each request's wait, and the life of every GPU that was started.

    ``started`` and ``stopped`` are float arrays (starts,): ordered at, released at; ``cold`` (n,)
    marks the requests that a start was made for.
    """

    waits: Floats
    started: Floats
    stopped: Floats
    cold: npt.NDArray[np.bool_]

    @property
    def peak(self) -> int:
        """Most GPUs on at the same time."""
        return peak(self.started, self.stopped)


def peak(started: Floats, stopped: Floats) -> int:
    """Most intervals [start, stop) that overlap at one instant."""
    times = np.concatenate([started, stopped])
    steps = np.repeat([1, -1], len(started))
    order = np.lexsort((steps, times))  # a stop before a start at the same instant
    return int(np.cumsum(steps[order]).max(initial=0))


def elastic(
    arrivals: Floats, services: Floats, *, start: float, idle: float, limit: int
) -> Elastic:
    """Replay GPUs that are started for the load, ready after ``start`` and released after ``idle``.

    A request takes the idle GPU that worked last, so that the others can be released. Where none
    is idle, a new one is started only if no running one would be free sooner than it is ready,
    and never more than ``limit`` at a time. With ``limit=1`` this is the M/G/1 queue with set-up
    and idle timeout, whose closed form is in docs/planner.md.
    """
    _need_one(limit)
    free: list[float] = []  # when each GPU that is on becomes idle, ascending
    began: dict[float, list[float]] = {}  # free time -> start times of the GPUs with it
    lives: list[tuple[float, float]] = []
    n = len(arrivals)
    result, cold = np.empty(n), np.zeros(n, dtype=np.bool_)

    def take(index: int) -> tuple[float, float]:
        at = free.pop(index)
        starts = began[at]
        birth = starts.pop()
        if not starts:
            del began[at]
        return at, birth

    for i, (arrival, service) in enumerate(zip(arrivals.tolist(), services.tolist(), strict=True)):
        while free and free[0] + idle <= arrival:
            at, birth = take(0)
            lives.append((birth, at + idle))
        idling = bisect.bisect_right(free, arrival)
        if idling:
            birth = take(idling - 1)[1]
            begin = arrival
        elif len(free) < limit and (not free or free[0] > arrival + start):
            birth, begin = arrival, arrival + start
            cold[i] = True
        else:
            begin, birth = take(0)
        result[i] = begin - arrival
        bisect.insort(free, begin + service)
        began.setdefault(begin + service, []).append(birth)
    while free:
        at, birth = take(0)
        lives.append((birth, at + idle))
    spans = np.asarray(sorted(lives), dtype=np.float64).reshape(-1, 2)
    return Elastic(result, spans[:, 0].copy(), spans[:, 1].copy(), cold)
