"""How far an unmeasured input may be off before the recommended option breaks. Pure."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lightmeter import replay
from lightmeter.replay import Floats
from planner import options as ways
from planner.certainty import Draws
from planner.demand import Demand
from planner.options import Option, OptionKind, Terms
from planner.recommend import Flip


LOAD = "load, times today's; above it these GPUs miss the objective"
SWAP = "seconds to swap a model; above it this pool misses the objective"
START = "seconds to start a GPU; above it on-demand misses the objective"
_DOUBLINGS, _HALVINGS = 4, 7
"""The search goes up to 16 times today's value, and ends within 1 % of the answer."""


def breaking_points(option: Option, demand: Demand, draws: Draws, terms: Terms) -> tuple[Flip, ...]:
    """Find the load, and the swap or start time, above which the option misses the objective.

    A pool or dedicated GPUs are kept at their number; on-demand grows with the load.
    """
    keeps = _keeps(demand, draws, terms)
    if option.kind is OptionKind.DEDICATED:
        return _above(LOAD, 1.0, lambda load: _own(demand, option, load), keeps)
    if option.kind is OptionKind.SHARED:
        return (
            *_above(
                LOAD, 1.0, lambda load: _pool(demand, option.gpus, terms.swap_seconds, load), keeps
            ),
            *_above(SWAP, terms.swap_seconds, lambda swap: _pool(demand, option.gpus, swap), keeps),
        )
    return _above(
        START, terms.start_seconds, lambda start: _starts(demand, option, terms, start), keeps
    )


def _own(demand: Demand, option: Option, load: float) -> Floats:
    waits = np.empty(len(demand.arrivals))
    for index, place in enumerate(option.placement):
        mask = demand.of(index)
        waits[mask] = replay.waits(demand.arrivals[mask] / load, demand.seconds[mask], place.gpus)
    return waits


def _pool(demand: Demand, gpus: int, swap: float, load: float = 1.0) -> Floats:
    return replay.pool(
        demand.arrivals / load, demand.seconds, demand.owner, servers=gpus, swap=swap
    ).waits


def _starts(demand: Demand, option: Option, terms: Terms, start: float) -> Floats:
    return ways.elastic_waits(demand, terms, start=start, idle=option.idle_seconds or 0.0)[0]


def _keeps(demand: Demand, draws: Draws, terms: Terms) -> Callable[[Floats], bool]:
    return lambda waits: ways.keeps_objective(demand, draws, waits, terms.slo)


def _above(
    what: str, now: float, waits: Callable[[float], Floats], keeps: Callable[[Floats], bool]
) -> tuple[Flip, ...]:
    low, high = now, max(2 * now, 1.0)
    for _ in range(_DOUBLINGS):
        if not keeps(waits(high)):
            break
        low, high = high, 2 * high
    else:
        return ()
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if keeps(waits(middle)) else (low, middle)
    return (Flip(what, round(low, 3)),)
