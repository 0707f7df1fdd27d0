"""How far an unmeasured input may be off before the recommended option breaks. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from lightmeter.replay import Floats
from planner import options as ways
from planner.certainty import Draws
from planner.demand import Demand
from planner.options import Option, OptionKind, Sharing, Terms
from planner.recommend import Flip


LOAD = "load, times today's; above it these GPUs miss the objective"
SWAP = "seconds to swap a model; above it this pool misses the objective"
START = "seconds to start a GPU; above it on-demand misses the objective"
_DOUBLINGS, _HALVINGS = 4, 7
"""The search goes up to 16 times today's value, and ends within 1 % of the answer."""


def breaking_points(option: Option, demand: Demand, draws: Draws, terms: Terms) -> tuple[Flip, ...]:
    """Find the load, and the swap or start time, above which the option misses the objective.

    Rented GPUs are kept at their number; what is on demand grows with the load.
    """
    again = option.again
    if again is None:
        return ()
    keeps = _keeps(demand, draws, terms)

    def starting(seconds: float) -> Floats:
        known = tuple(dataclasses.replace(one, start_seconds=None) for one in terms.known)
        return again(demand, dataclasses.replace(terms, start_seconds=seconds, known=known))

    if option.kind in {OptionKind.ON_DEMAND, OptionKind.HYBRID}:
        return _above(START, terms.start_seconds, starting, keeps)
    found = _above(LOAD, 1.0, lambda load: again(_busier(demand, load), terms), keeps)
    if option.sharing is not Sharing.SWAP:
        return found
    return found + _above(
        SWAP,
        terms.swap_seconds,
        lambda swap: again(demand, dataclasses.replace(terms, swap_seconds=swap)),
        keeps,
    )


def _busier(demand: Demand, load: float) -> Demand:
    """The same requests, arriving so many times as fast."""
    return dataclasses.replace(demand, arrivals=demand.arrivals / load)


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
