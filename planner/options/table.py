"""The table of ways to serve, in the order of the report: the simpler first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from planner.certainty import Draws
from planner.demand import Demand
from planner.options.base import Option, Terms
from planner.options.elastic import on_vendors
from planner.options.hybrid import hybrid
from planner.options.mixed import mixed, sliced
from planner.options.placed import placed
from planner.options.rented import asleep, dedicated, shared
from planner.options.scaled import scaled
from planner.options.scheduled import scheduled


@dataclass(frozen=True)
class Way:
    """A family of options: ``doing`` is what the progress line says after "replaying ... on".

    ``options`` sizes and judges them; none where the way is not open to these services or terms.
    """

    doing: str
    options: Callable[[Demand, Draws, Terms], list[Option]]
    swept: bool = True
    """Whether it is tried at other values of the inputs; what takes seconds each time is not."""


def _one(
    way: Callable[[Demand, Draws, Terms], Option],
) -> Callable[[Demand, Draws, Terms], list[Option]]:
    return lambda demand, draws, terms: [way(demand, draws, terms)]


WAYS = (
    Way("dedicated GPUs", _one(dedicated)),
    Way("shared GPUs", _one(shared)),
    Way("on-demand GPUs", on_vendors),
    Way("a pool with sleeping models", asleep),
    Way("rented GPUs with on-demand ones beside them", hybrid),
    Way("GPUs that several services share", placed),
    Way("GPUs cut into slices", sliced),
    Way("dedicated GPUs of the cheapest type", mixed),
    Way("GPUs that follow the scaling policy", scaled, swept=False),
    Way("GPUs that are off at quiet hours", scheduled),
)
