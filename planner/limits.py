"""How far an unmeasured input may be off before the recommended option breaks. Pure."""

from __future__ import annotations

from collections.abc import Callable

from lightmeter import replay
from lightmeter.replay import Floats
from planner import options as ways
from planner.certainty import Draws
from planner.demand import Demand
from planner.options import Option, OptionKind, Terms
from planner.recommend import Flip


_DOUBLINGS, _HALVINGS = 4, 7
"""The search goes up to 16 times today's value, and ends within 1 % of the answer."""


def breaking_points(option: Option, demand: Demand, draws: Draws, terms: Terms) -> tuple[Flip, ...]:
    """Find the swap or start time above which the option, at its size, misses the objective."""
    if option.kind is OptionKind.SHARED:
        return _above(
            "seconds to swap a model; above it this pool misses the objective",
            terms.swap_seconds,
            lambda swap: _pool(demand, option.gpus, swap),
            _keeps(demand, draws, terms),
        )
    if option.kind is OptionKind.ON_DEMAND:
        return _above(
            "seconds to start a GPU; above it on-demand misses the objective",
            terms.start_seconds,
            lambda start: _starts(demand, option, terms, start),
            _keeps(demand, draws, terms),
        )
    return ()


def _pool(demand: Demand, gpus: int, swap: float) -> Floats:
    return replay.pool(demand.arrivals, demand.seconds, demand.owner, servers=gpus, swap=swap).waits


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
