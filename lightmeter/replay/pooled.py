"""A shared pool whose GPUs hold one model each. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lightmeter.replay.engine import (
    Engine,
    Floats,
    Integers,
    floats,
    integers,
    need_equal,
    need_one,
    order_of,
    part,
    run,
)


@dataclass(frozen=True)
class Pool:
    """A shared pool replayed: each request's wait (swap included) and whether it swapped."""

    waits: Floats
    swapped: npt.NDArray[np.bool_]


def pool(
    arrivals: Floats,
    services: Floats,
    models: Integers,
    *,
    servers: int,
    swap: float,
    ranks: Integers | None = None,
    engine: Engine = "auto",
) -> Pool:
    """Replay a pool whose GPUs hold one model each and swap it in ``swap`` seconds when needed.

    ``models`` is an int array (n,). A request goes where its execution starts first, the swap
    included; on a tie to the GPU that has its model. Among idle GPUs without it, the one idle
    longest gives up its model. At the start the models used most are loaded, one on each GPU, and
    over again where there are more GPUs than models.

    With ``ranks``, an int array (n,), a GPU that becomes free looks at the requests of the lowest
    rank that wait first, in order of arrival; whoever has begun is never interrupted.
    """
    need_one(servers)
    need_equal(arrivals, services)
    n = len(arrivals)
    ranks = np.zeros(n, dtype=np.int64) if ranks is None else integers(ranks)
    by_rank = order_of(ranks)
    bounds = integers(np.searchsorted(ranks[by_rank], np.arange(int(ranks.max(initial=0)) + 2)))
    result, swapped = np.empty(n), np.zeros(n, dtype=np.bool_)
    resident = integers(_most_used(models, servers))
    run(
        _pool,
        floats(arrivals),
        floats(services),
        integers(models),
        (by_rank, bounds[:-1].copy(), bounds[1:].copy()),
        float(swap),
        np.zeros(servers),
        resident,
        result,
        swapped,
        engine=engine,
    )
    return Pool(result, swapped)


@part
def _next(queues: Any, arrivals: Any, free: Any) -> tuple[int, float]:
    """Take the request that is looked at next, and when that is: somebody waits and a GPU is free."""
    by_rank, heads, ends = queues
    now = math.inf
    for rank in range(len(heads)):
        if heads[rank] < ends[rank]:
            now = min(now, arrivals[by_rank[heads[rank]]])
    soonest = free[0]
    for j in range(1, len(free)):
        soonest = min(soonest, free[j])
    now = max(now, soonest)
    found = -1
    for rank in range(len(heads)):
        if found < 0 and heads[rank] < ends[rank] and arrivals[by_rank[heads[rank]]] <= now:
            found = by_rank[heads[rank]]
            heads[rank] += 1
    return found, now


def _pool(  # noqa: PLR0913, PLR0917  (a kernel takes its arrays one by one)
    arrivals: Any,
    services: Any,
    models: Any,
    queues: Any,
    swap: float,
    free: Any,
    resident: Any,
    result: Any,
    swapped: Any,
) -> int:
    for _ in range(len(arrivals)):
        i, now = _next(queues, arrivals, free)
        first, first_free = 0, math.inf
        own, own_free = -1, math.inf
        for j in range(len(free)):
            at = free[j]
            if resident[j] == models[i]:
                if at < own_free:
                    own, own_free = j, at
            elif at < first_free:
                first, first_free = j, at
        start = max(now, first_free) + swap
        if own >= 0 and max(now, own_free) <= start:
            first, start = own, max(now, own_free)
        else:
            swapped[i] = True
            resident[first] = models[i]
        result[i] = start - arrivals[i]
        free[first] = start + services[i]
    return 0


def ranked(
    arrivals: Floats, services: Floats, ranks: Integers, servers: int, *, engine: Engine = "auto"
) -> Floats:
    """Wait of each request where a free GPU takes the lowest rank that waits (G/G/c, non-preemptive).

    ``ranks`` is an int array (n,), 0 the most urgent; within a rank, first come, first served. A
    request that is being served is never interrupted.
    """
    one = np.zeros(len(arrivals), dtype=np.int64)
    return pool(
        arrivals, services, one, servers=servers, swap=0.0, ranks=ranks, engine=engine
    ).waits


def _most_used(models: Integers, servers: int) -> list[int]:
    """Return a model for each GPU: the ones used most, over again where there are fewer."""
    counts = np.bincount(models)
    known = np.flatnonzero(counts)
    popular = known[np.argsort(-counts[known], kind="stable")].tolist()
    return [popular[j % len(popular)] for j in range(servers)] if popular else [-1] * servers
