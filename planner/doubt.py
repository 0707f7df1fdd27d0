"""Which options rest on an input that nobody measured, and how far it may go before they miss. Pure.

Such an option may be recommended only if it keeps the objective, at its size, over the whole range
that is stated of the input. A value that the user gave counts as measured.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from planner.certainty import DAY
from planner.inputs import INPUTS, Case, Input
from planner.options import Option, keeps_objective


UNMEASURED = frozenset({"wake_seconds", "interference", "mps_interference", "start_seconds"})
"""Inputs whose default nobody measured on pictures: what a language-model server publishes, what an
article or a case states. The default of the swap time is measured: the median load of an image
model in the production trace GenTD26."""
_TRIED = 4
"""Values tried of an input's range, both ends among them."""
_HALVINGS, _FEW_HALVINGS = 7, 3
FEW_BAD_DAYS = 2


@dataclass(frozen=True)
class Doubt:
    """An input that an option does not bear the whole range of; up to ``upto`` it keeps the objective."""

    option: str
    key: str
    what: str
    unit: str
    assumed: float
    upto: float


def assumed(given: Collection[str]) -> frozenset[str]:
    """Name the inputs that nobody measured, where these settings were given by the user."""
    return UNMEASURED - frozenset(given)


def bears(option: Option, case: Case) -> bool:
    """Tell whether it keeps the objective over the range of each input that it rests on unmeasured."""
    return all(_bears(one, option, case) for one in _rests_on(option, case))


def doubt(option: Option, case: Case) -> Doubt | None:
    """Return the first input that the option does not bear, and how far it would; None where it bears all."""
    for one in _rests_on(option, case):
        if not _bears(one, option, case):
            now = one.now(case[2])
            return Doubt(option.title, one.key, one.what, one.unit, now, _upto(one, option, case))
    return None


def _rests_on(option: Option, case: Case) -> list[Input]:
    return [one for one in INPUTS if one.key in case[2].assumed and one.minds(option)]


def _bears(one: Input, option: Option, case: Case) -> bool:
    low, high = _range(one, case)
    tried = 2 if option.slow else _TRIED
    return all(_keeps(one, option, case, value) for value in np.linspace(high, low, tried))


def _range(one: Input, case: Case) -> tuple[float, float]:
    now = one.now(case[2])
    return min(one.low, now), max(one.high, now)


def _upto(one: Input, option: Option, case: Case) -> float:
    """Halve between the value in use, with which it keeps the objective, and the end of the range."""
    low, high = one.now(case[2]), _range(one, case)[1]
    for _ in range(_FEW_HALVINGS if option.slow else _HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _keeps(one, option, case, middle) else (low, middle)
    return low


def _keeps(one: Input, option: Option, case: Case, value: float) -> bool:
    """Replay it as it stands; what is known of single services stays as it is."""
    if option.again is None:
        return False
    demand, draws, terms = case
    changed: dict[str, Any] = {one.key: value}
    waits = option.again(demand, dataclasses.replace(terms, **changed))
    return keeps_objective(demand, draws, waits, terms.slo)


def of_interval(option: Option, case: Case) -> list[str]:
    """Say where the interval of an option's attainment is known to hold the truth too seldom.

    That is where late requests fall on a day or two: `bench/coverage.py` measures it.
    """
    demand, draws, terms = case
    late = draws.count(demand.judged & ~terms.slo.within(option.waits))
    bad, days = int(np.count_nonzero(late)), len(late)
    if not 1 <= bad <= FEW_BAD_DAYS or draws.block_seconds < DAY:
        return []
    return [f"under the advice all late requests fall on {bad} of {days} days: so few that the interval of the objective holds the truth in eight histories of ten, not in nineteen of twenty"]  # fmt: skip
