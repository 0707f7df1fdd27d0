"""What each unmeasured input does to the advice, over its whole range: data for charts. Pure.

Every option is sized anew at each value, as it would have been had that been the truth.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from lightmeter.units import cents
from planner.inputs import INPUTS, Case, Input
from planner.options import Option, Way, cost
from planner.recommend import Flip, Recommendation, price_breaks, recommend


Tell = Callable[[str], None]
_HALVINGS = 3
"""A change of advice between two values is narrowed down to an eighth of their distance."""


@dataclass(frozen=True)
class Point:
    """The options and the advice at one value of an input."""

    at: float
    options: tuple[Option, ...]
    advice: Recommendation
    case: Case

    @property
    def choice(self) -> str:
        """Name of what is advised; nothing where nothing is."""
        return "" if self.advice.option is None else self.options[self.advice.option].title


def _between(low: float, high: float) -> float:
    return math.sqrt(low * high) if low > 0 else (low + high) / 2


class Sweep:
    """The ways to serve, tried again at other values of the inputs.

    ``families`` are the options that each way gave at the values in use.
    """

    def __init__(
        self, ways: Sequence[Way], families: Sequence[Sequence[Option]], case: Case
    ) -> None:
        self.ways, self.families, self.case = ways, families, case

    def at(self, one: Input, value: float) -> Point:
        """Size every option that minds the input anew, and advise."""
        case = one.put(self.case, value)
        found: list[Option] = []
        for way, family in zip(self.ways, self.families, strict=True):
            if not way.swept:
                continue
            minds = any(one.minds(option) for option in family)
            found += way.options(*case) if minds else family
        demand, draws, terms = case
        return Point(value, tuple(found), recommend(found, draws, terms, demand), case)

    def over(self, one: Input, points: int) -> list[Point]:
        """Try values over the input's range, evenly by ratio where none is zero, and the one in use among them."""
        if not any(one.minds(option) for family in self.families for option in family):
            return []
        spaced = np.geomspace if one.low > 0 else np.linspace
        values = {round(float(value), 4) for value in spaced(one.low, one.high, max(2, points))}
        return [self.at(one, value) for value in sorted(values | {one.now(self.case[2])})]

    def changes(self, one: Input, points: Sequence[Point]) -> list[tuple[float, str, str]]:
        """Find where the advice changes: at what value, from what, to what."""
        found = []
        for below, above in pairwise(points):
            if below.choice != above.choice:
                left, right = below, above
                for _ in range(_HALVINGS):
                    middle = self.at(one, _between(left.at, right.at))
                    left, right = (left, middle) if middle.choice != left.choice else (middle, right)  # fmt: skip
                found.append((round(right.at, 3), left.choice, right.choice))
        return found


def block(sweep: Sweep, points: int, tell: Tell) -> list[dict[str, Any]]:
    """Return the ``sensitivity`` of plan.json: the price first, exactly; then each input swept."""
    options = [option for family in sweep.families for option in family]
    _, draws, terms = sweep.case
    found: list[dict[str, Any]] = [
        {
            "input": "price",
            "what": "price of a GPU-hour of the one over that of the other at which both cost the same",
            "unit": "ratio",
            "source": "exact: cost is hours times price",
            "breaks_even": price_breaks(options, draws, terms),
        }
    ]
    for one in INPUTS:
        if points:
            tell(f"trying other values of the {one.what}")
            swept = sweep.over(one, points)
            if swept:
                found.append(_input(one, sweep, swept))
    return found


def _input(one: Input, sweep: Sweep, swept: Sequence[Point]) -> dict[str, Any]:
    return {
        "input": one.key,
        "what": one.what,
        "unit": one.unit,
        "value": one.now(sweep.case[2]),
        "low": one.low,
        "high": one.high,
        "source": one.source,
        "points": [_point(point) for point in swept],
        "flips": [
            {"at": at, "from": before or None, "to": after or None}
            for at, before, after in sweep.changes(one, swept)
        ],
    }


def _point(point: Point) -> dict[str, Any]:
    _, draws, terms = point.case
    return {
        "at": point.at,
        "advice": point.choice or None,
        "options": [
            {
                "kind": option.kind.value,
                "name": option.title,
                "gpus": option.gpus,
                "monthly_cost": float(
                    cents(cost(option.monthly_hours(draws, terms).value, terms.price))
                ),
                "slo_attainment": round(option.attainment, 6),
                "meets_slo": option.meets_slo,
            }
            for option in point.options
        ],
    }


def flips(found: Sequence[dict[str, Any]]) -> tuple[Flip, ...]:
    """Say of each input where the advice changes, as `Recommendation.flips_when` does."""
    return tuple(
        Flip(
            f"{entry['what']}, {entry['unit']}; from there on {change['to'] or 'no option'} instead of {change['from'] or 'none'}",
            change["at"],
        )
        for entry in found
        for change in entry.get("flips", ())
    )
