"""What a simulation looks like: replicas over time, waits, and the cost of each day."""

from __future__ import annotations

import itertools

import numpy as np

from lightmeter.replay import Floats
from lightmeter.simulate.demand import Demand
from lightmeter.simulate.run import Played
from lightmeter.simulate.score import HOUR, held
from lightmeter.simulate.view import World


DAY = 86_400.0
DRAWS = 4000
FEWEST_DAYS = 3
"""With fewer days nothing is said of an interval."""


def mean_count(begins: Floats, ends: Floats, edges: Floats) -> Floats:
    """How many of the spans [begin, end) hold on average between each two edges; (edges - 1,)."""

    def before(moments: Floats) -> Floats:
        ordered = np.sort(moments)
        sums = np.concatenate([[0.0], np.cumsum(ordered)])
        count = np.searchsorted(ordered, edges)
        return np.asarray(count * edges - sums[count], dtype=np.float64)

    area = before(begins) - before(ends)
    return np.asarray(np.diff(area) / np.diff(edges), dtype=np.float64)


def within(waits: Floats, limits: Floats) -> Floats:
    """Share of the waits (n,) that are no longer than each of the limits."""
    found = np.searchsorted(np.sort(waits), limits, side="right")
    return np.asarray(found / max(1, len(waits)), dtype=np.float64)


def by_day(played: Played, demand: Demand, world: World, *, begin: float, price: float) -> Floats:
    """Cost of each day from ``begin`` on, GPU-hours and priced violations; the last one is a part."""
    last = max(played.end, begin + 1.0)
    edges = np.append(np.arange(begin, last, DAY), last)
    late = demand.arrivals[played.waits > world.wait]
    hours = [held(played.lives, a, b) / HOUR for a, b in itertools.pairwise(edges)]
    costs: Floats = np.asarray(hours) + np.histogram(late, edges)[0] * price / HOUR
    return costs


def difference(ours: Floats, theirs: Floats, seed: int = 1) -> tuple[float, float] | None:
    """95 % interval of the difference of two costs, over days drawn with replacement.

    The same days are drawn for both (a paired bootstrap). None with fewer than `FEWEST_DAYS`.
    """
    count = min(len(ours), len(theirs))
    if count < FEWEST_DAYS:
        return None
    days = ours[:count] - theirs[:count]
    drawn = np.random.default_rng(seed).integers(0, count, (DRAWS, count))
    low, high = np.quantile(days[drawn].sum(axis=1), [0.025, 0.975]).tolist()
    return low, high
