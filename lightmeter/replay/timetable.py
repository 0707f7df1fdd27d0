"""GPUs that are on at certain hours only. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from lightmeter.replay import urgent
from lightmeter.replay.engine import (
    Engine,
    Floats,
    Integers,
    floats,
    integers,
    need_equal,
    part,
    run,
)
from lightmeter.replay.urgent import head


HOUR = 3600.0


@dataclass(frozen=True)
class Timetable:
    """How many GPUs are on in each hour: ``counts`` (hours,) of a cycle that repeats.

    ``offset`` is how far into the cycle time 0 is, in seconds. GPU j is on in the hours that have
    more than j.
    """

    counts: Integers
    offset: float

    def closed(self) -> Integers:
        """Hours that each GPU is off for, from each hour on: int array (gpus, hours), 0 is on."""
        hours = len(self.counts)
        off = np.zeros((int(self.counts.max()), hours), dtype=np.int64)
        for j in range(len(off)):
            wait = 0
            for hour in [*range(hours - 1, -1, -1)] * 2:
                wait = 0 if self.counts[hour] > j else wait + 1
                off[j, hour] = wait
        return off


@dataclass(frozen=True)
class Timed:
    """Each request's wait, (n,) in seconds, and the GPU that served it."""

    waits: Floats
    server: Integers


def timed(
    arrivals: Floats,
    services: Floats,
    timetable: Timetable,
    *,
    ranks: Integers | None = None,
    engine: Engine = "auto",
) -> Timed:
    """Replay GPUs that are on by a timetable; first come, first served.

    A request starts at the earliest instant at which a GPU is on and free. One that has begun is
    finished even where its GPU was to be off by then. With ``ranks``, an int array (n,), the lowest
    rank that waits goes first.

    Raises:
        ValueError: no GPU is ever on.
    """
    need_equal(arrivals, services)
    if not timetable.counts.any():
        raise ValueError("no GPU is on at any hour; at least one hour needs one")
    closed = timetable.closed()
    ranks = np.zeros(len(arrivals), dtype=np.int64) if ranks is None else integers(ranks)
    by = urgent.by_arrival(arrivals, ranks)
    waits, server = np.empty(len(arrivals)), np.zeros(len(arrivals), dtype=np.int64)
    run(
        _timed,
        floats(arrivals[by]),
        floats(services[by]),
        (integers(ranks[by]), urgent.queues(ranks[by])),
        integers(closed),
        float(timetable.offset),
        np.zeros(len(closed)),
        waits,
        server,
        engine=engine,
    )
    result, gpu = np.empty(len(arrivals)), np.zeros(len(arrivals), dtype=np.int64)
    result[by], gpu[by] = waits, server
    return Timed(result, gpu)


@part
def _opening(closed: Any, offset: float, gpu: int, at: float) -> float:
    """When a GPU that is free at this instant is on."""
    hours = len(closed[gpu])
    hour = math.floor((at + offset) / HOUR)
    off = closed[gpu][int(hour) % hours]
    return float((hour + off) * HOUR - offset) if off else at


def _timed(  # noqa: PLR0917  (a kernel takes its arrays one by one)
    arrivals: Any,
    services: Any,
    line: Any,
    closed: Any,
    offset: float,
    free: Any,
    waits: Any,
    server: Any,
) -> int:
    ranks, waiting = line
    count, last = 0, 0.0
    for i in range(len(arrivals) + 1):
        until = arrivals[i] if i < len(arrivals) else math.inf
        while count:
            first, begin = 0, math.inf
            for j in range(len(free)):
                at = _opening(closed, offset, j, max(free[j], last))
                if at < begin:
                    first, begin = j, at
            if begin > until:
                break
            k = head(waiting)
            count -= 1
            waits[k] = begin - arrivals[k]
            server[k] = first
            free[first] = begin + services[k]
        if i < len(arrivals):
            waiting[2][ranks[i]] += 1
            count, last = count + 1, until
    return 0
