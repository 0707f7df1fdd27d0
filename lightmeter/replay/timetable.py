"""GPUs that are on at certain hours only. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from lightmeter.replay.engine import Engine, Floats, Integers, floats, integers, need_equal, run


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
    arrivals: Floats, services: Floats, timetable: Timetable, *, engine: Engine = "auto"
) -> Timed:
    """Replay GPUs that are on by a timetable; first come, first served.

    A request starts at the earliest instant at which a GPU is on and free. One that has begun is
    finished even where its GPU was to be off by then.

    Raises:
        ValueError: no GPU is ever on.
    """
    need_equal(arrivals, services)
    if not timetable.counts.any():
        raise ValueError("no GPU is on at any hour; at least one hour needs one")
    closed = timetable.closed()
    waits, server = np.empty(len(arrivals)), np.zeros(len(arrivals), dtype=np.int64)
    run(
        _timed,
        floats(arrivals),
        floats(services),
        integers(closed),
        float(timetable.offset),
        np.zeros(len(closed)),
        waits,
        server,
        engine=engine,
    )
    return Timed(waits, server)


def _timed(  # noqa: PLR0917  (a kernel takes its arrays one by one)
    arrivals: Any,
    services: Any,
    closed: Any,
    offset: float,
    free: Any,
    waits: Any,
    server: Any,
) -> int:
    hours = len(closed[0])
    for i in range(len(arrivals)):
        first, begin = 0, math.inf
        for j in range(len(free)):
            start = max(arrivals[i], free[j])
            hour = math.floor((start + offset) / HOUR)
            off = closed[j][int(hour) % hours]
            if off:
                start = (hour + off) * HOUR - offset
            if start < begin:
                first, begin = j, start
        waits[i] = begin - arrivals[i]
        server[i] = first
        free[first] = begin + services[i]
    return 0
