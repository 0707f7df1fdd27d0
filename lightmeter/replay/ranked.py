"""Urgent requests before others: so many GPUs, all alike, no request interrupted. Pure."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

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


def ranked(
    arrivals: Floats, services: Floats, ranks: Integers, servers: int, *, engine: Engine = "auto"
) -> Floats:
    """Wait of each request where a free GPU takes the lowest rank that waits (G/G/c, non-preemptive).

    ``ranks`` is an int array (n,), 0 the most urgent; within a rank, first come, first served. A
    request that is being served is never interrupted.
    """
    need_one(servers)
    need_equal(arrivals, services)
    ranks = integers(ranks)
    by_rank = integers(np.argsort(ranks, kind="stable"))
    bounds = integers(np.searchsorted(ranks[by_rank], np.arange(int(ranks.max(initial=0)) + 2)))
    result = np.empty(len(arrivals))
    run(
        _ranked,
        floats(arrivals),
        floats(services),
        by_rank,
        bounds[1:].copy(),
        bounds[:-1].copy(),
        np.zeros(servers),
        result,
        engine=engine,
    )
    return result


def _ranked(  # noqa: PLR0917  (a kernel takes its arrays one by one)
    arrivals: Any, services: Any, by_rank: Any, ends: Any, heads: Any, free: Any, result: Any
) -> int:
    for _ in range(len(arrivals)):
        first = 0
        for j in range(1, len(free)):
            if free[j] < free[first]:
                first = j
        soonest = math.inf
        for rank in range(len(heads)):
            if heads[rank] < ends[rank]:
                soonest = min(soonest, arrivals[by_rank[heads[rank]]])
        now = max(free[first], soonest)
        for rank in range(len(heads)):
            if heads[rank] < ends[rank] and arrivals[by_rank[heads[rank]]] <= now:
                i = by_rank[heads[rank]]
                heads[rank] += 1
                result[i] = now - arrivals[i]
                free[first] = now + services[i]
                break
    return 0
