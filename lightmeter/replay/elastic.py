"""GPUs that come and go with the load, beside some that always stay. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lightmeter.replay import urgent
from lightmeter.replay.engine import (
    Engine,
    Floats,
    Integers,
    floats,
    integers,
    need_equal,
    need_one,
    run,
)


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
    arrivals: Floats,
    services: Floats,
    *,
    start: float,
    idle: float,
    limit: int,
    reserved: int = 0,
    ranks: Integers | None = None,
    engine: Engine = "auto",
) -> Elastic:
    """Replay GPUs that are started for the load, ready after ``start`` and released after ``idle``.

    A request takes the idle GPU that worked last, so that the others can be released. Where none
    is idle, a new one is started only if no running one would be free sooner than it is ready,
    and never more than ``limit`` at a time. With ``limit=1`` this is the M/G/1 queue with set-up
    and idle timeout, whose closed form is in docs/planner.md.

    ``reserved`` GPUs are on from the first instant to the last, beside those; they are taken first
    where idle, and have no entry in ``started`` and ``stopped``.

    With ``ranks``, an int array (n,), a GPU that becomes free takes the request of the lowest rank
    that waits, in order of arrival; whoever has begun is never interrupted. A new GPU is started
    where the last in line would begin later than it is ready, so that nobody waits for ever behind
    more urgent requests; ``cold`` marks the request at whose arrival that was.
    """
    need_one(limit + reserved)
    need_equal(arrivals, services)
    if ranks is not None:
        return _ranked(arrivals, services, ranks, (start, idle), sizes=(reserved, limit), engine=engine)  # fmt: skip
    n = len(arrivals)
    most = min(limit, n) + reserved
    free, births = np.zeros(most), np.full(most, -1.0)
    order = np.zeros(most, dtype=np.int64)
    waits, cold = np.empty(n), np.zeros(n, dtype=np.bool_)
    started, stopped = np.empty(n), np.empty(n)
    count = run(
        _elastic,
        floats(arrivals),
        floats(services),
        (float(start), float(idle)),
        (int(reserved), int(most)),
        free,
        births,
        order,
        waits,
        cold,
        started,
        stopped,
        engine=engine,
    )
    by_start = np.lexsort((stopped[:count], started[:count]))
    return Elastic(waits, started[:count][by_start], stopped[:count][by_start], cold)


def _ranked(
    arrivals: Floats,
    services: Floats,
    ranks: Integers,
    times: tuple[float, float],
    *,
    sizes: tuple[int, int],
    engine: Engine,
) -> Elastic:
    reserved, limit = sizes
    n, by = len(arrivals), urgent.by_arrival(arrivals, ranks)
    most = min(limit, n) + reserved
    waits, cold = np.empty(n), np.zeros(n, dtype=np.bool_)
    started, stopped = np.empty(n), np.empty(n)
    count = run(
        urgent.kernel,
        (floats(arrivals[by]), floats(services[by]), integers(ranks[by])),
        (float(times[0]), float(times[1])),
        (int(reserved), int(most)),
        urgent.queues(integers(ranks[by])),
        (np.zeros(most), np.full(most, -1.0), np.zeros(most, dtype=np.int64)),
        np.zeros(most),
        (waits, cold),
        (started, stopped),
        engine=engine,
    )
    by_start = np.lexsort((stopped[:count], started[:count]))
    result, marked = np.empty(n), np.zeros(n, dtype=np.bool_)
    result[by], marked[by] = waits, cold
    return Elastic(result, started[:count][by_start], stopped[:count][by_start], marked)


def _elastic(  # noqa: C901, PLR0912, PLR0913, PLR0917  (a kernel: one loop, its arrays one by one)
    arrivals: Any,
    services: Any,
    times: tuple[float, float],
    sizes: tuple[int, int],
    free: Any,
    births: Any,
    order: Any,
    waits: Any,
    cold: Any,
    started: Any,
    stopped: Any,
) -> int:
    start, idle = times
    reserved, most = sizes
    on, lives = reserved, 0
    for i in range(len(arrivals)):
        arrival = arrivals[i]
        j = reserved
        while j < on:  # release what has been idle for long; the last one takes its place
            if free[j] + idle <= arrival:
                started[lives], stopped[lives] = births[j], free[j] + idle
                lives += 1
                on -= 1
                free[j], births[j], order[j] = free[on], births[on], order[on]
            else:
                j += 1
        last, first = -1, -1
        for j in range(on):
            at = free[j]
            if at <= arrival:
                better = (
                    last < 0 or at > free[last] or (at == free[last] and order[j] > order[last])
                )
                if last >= 0 and (last < reserved) != (j < reserved):
                    better = j < reserved
                if better:
                    last = j
            if first < 0 or at < free[first] or (at == free[first] and order[j] > order[first]):
                first = j
        if last >= 0:
            chosen, begin = last, arrival
        elif on < most and (first < 0 or free[first] > arrival + start):
            chosen, begin = on, arrival + start
            births[on] = arrival
            cold[i] = True
            on += 1
        else:
            chosen, begin = first, free[first]
        waits[i] = begin - arrival
        free[chosen] = begin + services[i]
        order[chosen] = i + 1
    for j in range(reserved, on):
        started[lives], stopped[lives] = births[j], free[j] + idle
        lives += 1
    return lives
