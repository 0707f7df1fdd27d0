"""A shared pool whose GPUs hold one model each. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lightmeter.replay.engine import Engine, Floats, Integers, floats, integers, need_one, run


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
    engine: Engine = "auto",
) -> Pool:
    """Replay a pool whose GPUs hold one model each and swap it in ``swap`` seconds when needed.

    ``models`` is an int array (n,). A request goes where its execution starts first, the swap
    included; on a tie to the GPU that has its model. Among idle GPUs without it, the one idle
    longest gives up its model. At the start the models used most are loaded, one on each GPU, and
    over again where there are more GPUs than models.
    """
    need_one(servers)
    n = len(arrivals)
    result, swapped = np.empty(n), np.zeros(n, dtype=np.bool_)
    resident = integers(_most_used(models, servers))
    run(
        _pool,
        floats(arrivals),
        floats(services),
        integers(models),
        float(swap),
        np.zeros(servers),
        resident,
        result,
        swapped,
        engine=engine,
    )
    return Pool(result, swapped)


def _pool(  # noqa: PLR0917  (a kernel takes its arrays one by one)
    arrivals: Any,
    services: Any,
    models: Any,
    swap: float,
    free: Any,
    resident: Any,
    result: Any,
    swapped: Any,
) -> int:
    for i in range(len(arrivals)):
        arrival, model = arrivals[i], models[i]
        first, first_free = 0, math.inf
        own, own_free = -1, math.inf
        for j in range(len(free)):
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
        free[first] = start + services[i]
    return 0


def _most_used(models: Integers, servers: int) -> list[int]:
    """Return a model for each GPU: the ones used most, over again where there are fewer."""
    known, counts = np.unique(models, return_counts=True)
    popular = known[np.argsort(-counts, kind="stable")].tolist()
    return [popular[j % len(popular)] for j in range(servers)] if popular else [-1] * servers
