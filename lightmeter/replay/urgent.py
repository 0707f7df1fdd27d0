"""GPUs that come and go with the load, the urgent requests first. Pure."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lightmeter.replay.engine import Floats, Integers, integers, order_of, part


Queues = tuple[Integers, Integers, Integers]
"""Requests by rank, and for each rank where those that wait begin and end there."""


def by_arrival(arrivals: Floats, ranks: Integers) -> Integers:
    """Indices that sort requests by arrival, those of the same instant the most urgent first."""
    return integers(np.lexsort((ranks, arrivals)))


def queues(ranks: Integers) -> Queues:
    """Make empty queues of requests whose ranks, (n,), are given in order of arrival."""
    listed = order_of(ranks)
    levels = np.arange(int(ranks.max(initial=0)) + 1)
    heads = integers(np.searchsorted(ranks[listed], levels))
    return listed, heads, heads.copy()


@part
def head(waiting: Any) -> int:
    """Take the most urgent request that waits, the first of these."""
    listed, heads, tails = waiting
    rank = 0
    while heads[rank] == tails[rank]:
        rank += 1
    heads[rank] += 1
    return int(listed[heads[rank] - 1])


@part
def _soonest(free: Any, order: Any, on: int) -> int:
    """Return the GPU that is free first; of several the one that was given work last."""
    first = -1
    for j in range(on):
        if first < 0 or free[j] < free[first] or (free[j] == free[first] and order[j] > order[first]):  # fmt: skip
            first = j
    return first


@part
def _rested(free: Any, order: Any, sizes: tuple[int, int], now: float) -> int:
    """Return the idle GPU that worked last, a rented one before the others; -1 where all work."""
    reserved, on = sizes
    last = -1
    for j in range(on):
        if free[j] > now:
            continue
        better = last < 0 or free[j] > free[last] or (free[j] == free[last] and order[j] > order[last])  # fmt: skip
        if last >= 0 and (last < reserved) != (j < reserved):
            better = j < reserved
        if better:
            last = j
    return last


@part
def _first(plan: Any, on: int) -> float:
    """Return when the next in line would begin; inf without GPUs."""
    begin = math.inf
    for j in range(on):
        begin = min(begin, plan[j])
    return begin


@part
def _put(plan: Any, on: int, seconds: float) -> float:
    """Plan the next in line on the GPU that is free first, and return when it begins."""
    begin, chosen = _first(plan, on), 0
    while chosen < on and plan[chosen] > begin:
        chosen += 1
    if chosen < on:
        plan[chosen] = begin + seconds
    return begin


@part
def _line_up(  # noqa: PLR0917  (a kernel takes its arrays one by one)
    plan: Any, free: Any, on: int, waiting: Any, services: Any
) -> float:
    """Plan everybody who waits, in the order of service, and return when the last of them begins."""
    listed, heads, tails = waiting
    for j in range(on):
        plan[j] = free[j]
    begin = math.inf
    for rank in range(len(heads)):
        for place in range(heads[rank], tails[rank]):
            begin = _put(plan, on, services[listed[place]])
    return begin


@part
def _last(rank: int, waiting: Any) -> bool:
    """Tell whether nobody waits who is less urgent."""
    found = True
    for other in range(rank + 1, len(waiting[1])):
        found = found and waiting[1][other] == waiting[2][other]
    return found


@part
def _release(  # noqa: PLR0917  (a kernel takes its arrays one by one)
    gpus: Any, sizes: tuple[int, int, int], now: float, idle: float, ended: Any
) -> tuple[int, int]:
    """Release what has been idle for long; the last one takes its place. Return who is on, and lives."""
    free, births, order = gpus
    j, on, lives = sizes
    while j < on:
        if free[j] + idle <= now:
            ended[0][lives], ended[1][lives] = births[j], free[j] + idle
            lives += 1
            on -= 1
            free[j], births[j], order[j] = free[on], births[on], order[on]
        else:
            j += 1
    return on, lives


def kernel(  # noqa: C901, PLR0917  (a kernel: one loop, its arrays one by one)
    requests: Any,
    times: tuple[float, float],
    sizes: tuple[int, int],
    waiting: Any,
    gpus: Any,
    plan: Any,
    found: Any,
    ended: Any,
) -> int:
    """Serve by rank; see `lightmeter.replay.elastic`, whose arrays these are."""
    (arrivals, services, ranks), (start, idle), (reserved, most) = requests, times, sizes
    (free, births, order), (waits, cold) = gpus, found
    n, on, lives, count, planned = len(arrivals), reserved, 0, 0, False
    for i in range(n + 1):
        now = arrivals[i] if i < n else math.inf
        while count:
            j = _soonest(free, order, on)
            if free[j] > now:
                break
            k = head(waiting)
            count -= 1
            waits[k] = free[j] - arrivals[k]
            free[j], order[j] = free[j] + services[k], k + 1
        if i == n:
            break
        rank = ranks[i]
        waiting[2][rank] += 1
        if not count:
            on, lives = _release(gpus, (reserved, on, lives), now, idle, ended)
            j = _rested(free, order, (reserved, on), now)
            if j >= 0:
                waiting[1][rank] += 1
                waits[i], free[j], order[j] = 0.0, now + services[i], i + 1
                continue
            for j in range(on):
                plan[j] = free[j]
        planned = (planned or not count) and on < most
        count += 1
        if on == most:
            continue
        last = planned and _last(rank, waiting)
        begin = _first(plan, on) if last else _line_up(plan, free, on, waiting, services)
        if begin > now + start:
            free[on], births[on], order[on] = now + start, now, i + 1
            plan[on], cold[i] = now + start + services[i], True
            on += 1
        elif last:
            _put(plan, on, services[i])
        planned = last or begin <= now + start
    for j in range(reserved, on):
        ended[0][lives], ended[1][lives] = births[j], free[j] + idle
        lives += 1
    return lives
