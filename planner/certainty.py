"""How sure: a block bootstrap over the days of the history, paired between options. Pure.

Whole days are drawn with replacement, because the requests of one day depend on each other; every
option is judged on the same draws, so that a difference is a difference between options and not
between draws. All that is asked is a ratio of sums over days: requests kept over requests, hours
billed over hours. Its interval is the studentised bootstrap's, which knows that a sample with a bad
day has a wide spread, where that of percentiles is too short on the bad side (Efron and Tibshirani,
An Introduction to the Bootstrap, 1993, chapters 8, 12 and 16); ``bench/coverage.py`` measures how
often it holds the truth.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from lightmeter.replay import Floats, Integers
from planner.demand import Demand


DAY = 86_400.0
MIN_DAYS_FOR_DAY_BLOCKS = 7
SHORT_BLOCKS = 12
"""A shorter history is cut into this many equal blocks."""
MIN_JUDGED = 100
"""A service with fewer requests has no 95th percentile worth the name; such services are judged
together, as one group."""
MIN_BLOCKS = 5
"""Nor has one with requests in fewer blocks a spread between them."""
INTERVAL = (0.025, 0.975)
MOST_DAYS = 3650.0
"""Ten years: nobody waits longer for the answer to which of two options costs less."""
LEAST_ERROR = 0.3
"""A resample whose days hardly differ counts as if they differed by this share of what the days of the
history do; else one without the only bad day would know no doubt at all. Chosen by `bench/coverage.py`:
with less, months of sparse services hold the truth no more often, only with wider intervals."""
_STILL = 1e-9
"""A standard error below this share of the value is rounding."""


@dataclass(frozen=True)
class Draws:
    """The blocks of the history and how often each resample holds each of them.

    ``block`` (n,) is each request's block, ``edges`` (blocks + 1,) their bounds in seconds since
    the start, ``weights`` (resamples, blocks) the counts.
    """

    block: Integers
    edges: Floats
    weights: Floats
    block_seconds: float

    @property
    def lengths(self) -> Floats:
        """Length of each block, seconds; the first and last day may be short."""
        return np.diff(self.edges)

    @cached_property
    def weights_and_once(self) -> Floats:
        """The weights, and below them the history as it was; (resamples + 1, blocks)."""
        return np.vstack([self.weights, np.ones(len(self.edges) - 1)])

    def count(self, mask: npt.NDArray[np.bool_]) -> Floats:
        """Masked requests of each block."""
        return np.bincount(self.block[mask], minlength=len(self.edges) - 1).astype(np.float64)


@dataclass(frozen=True)
class Estimate:
    """A value, the 95 % interval around it, and its standard error."""

    value: float
    low: float
    high: float
    error: float

    def within(self, least: float, most: float) -> Estimate:
        """Return it with an interval that goes no further than this."""
        return Estimate(self.value, max(self.low, least), min(self.high, most), self.error)


def draw(demand: Demand, *, resamples: int, seed: int) -> Draws:
    """Cut the history into blocks and draw the resamples."""
    edges, block_seconds = _cut(demand)
    blocks = len(edges) - 1
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=resamples).astype(
        np.float64
    )
    return Draws(_place(demand, edges), edges, weights, block_seconds)


def _cut(demand: Demand) -> tuple[Floats, float]:
    span = demand.span_seconds
    if span >= MIN_DAYS_FOR_DAY_BLOCKS * DAY:
        midnight = demand.start.hour * 3600 + demand.start.minute * 60 + demand.start.second
        inner = np.arange(DAY - midnight, span, DAY)
        return np.concatenate([[0.0], inner, [span]]), DAY
    return np.linspace(0.0, span, SHORT_BLOCKS + 1), span / SHORT_BLOCKS


def _place(demand: Demand, edges: Floats) -> Integers:
    found: Integers = np.searchsorted(edges, demand.arrivals, side="right") - 1
    return np.clip(found, 0, len(edges) - 2)


def ratio(draws: Draws, over: Floats, under: Floats) -> Estimate:
    """Estimate the sum of ``over`` by the sum of ``under``, both (blocks,), with its interval.

    Resamples in which nothing is below the line say nothing and are left out. Where no day differs
    from another the interval is the value.
    """
    return next(ratios(draws, over[None], under[None]))


def ratios(draws: Draws, over: Floats, under: Floats) -> Iterator[Estimate]:
    """Estimate each row of (n, blocks) by its own row; see `ratio`."""
    weights = draws.weights_and_once
    below = weights @ under.T
    found = np.divide(weights @ over.T, below, out=np.zeros(below.shape), where=below > 0)
    spread = weights @ (over**2).T - 2 * found * (weights @ (over * under).T) + found**2 * (weights @ (under**2).T)  # fmt: skip
    active = np.maximum(2, np.count_nonzero(under, axis=1))
    errors = np.sqrt(np.maximum(spread, 0.0) * active / (active - 1))
    errors = np.divide(errors, below, out=np.zeros(below.shape), where=below > 0)
    for row in range(len(over)):
        drawn = below[:-1, row] > 0
        yield _studentised(found[-1, row], errors[-1, row], found[:-1, row][drawn], errors[:-1, row][drawn])  # fmt: skip


def _studentised(value: float, error: float, found: Floats, errors: Floats) -> Estimate:
    value, error = float(value), float(error)
    if error <= _STILL * max(abs(value), _STILL):
        return Estimate(value, value, value, 0.0)
    left, right = np.quantile((found - value) / np.maximum(errors, LEAST_ERROR * error), INTERVAL)
    low, high = value - float(right) * error, value - float(left) * error
    return Estimate(value, min(value, low), max(value, high), error)


def share(draws: Draws, mask: npt.NDArray[np.bool_], kept: npt.NDArray[np.bool_]) -> Estimate:
    """Estimate the share of the masked requests that are ``kept``; 1 where there are none."""
    asked = draws.count(mask)
    if not asked.any():
        return Estimate(1.0, 1.0, 1.0, 0.0)
    return ratio(draws, draws.count(mask & kept), asked).within(0.0, 1.0)


def days_to_decide(draws: Draws, difference: Estimate) -> float | None:
    """Days of history, all told, after which a difference as large as this would exclude zero.

    An interval narrows with the root of the number of days. None where that is longer than
    `MOST_DAYS`: the two are the same for all practical purposes.
    """
    if difference.value == 0:
        return None
    toward_zero = (
        difference.value - difference.low
        if difference.value > 0
        else difference.high - difference.value
    )
    days = (toward_zero / difference.value) ** 2 * float(draws.lengths.sum()) / DAY
    return days if days <= MOST_DAYS else None


def large(demand: Demand) -> npt.NDArray[np.bool_]:
    """Mask the services that are judged on their own: asked for often enough, on enough days."""
    known = len(demand.services)
    blocks = _place(demand, _cut(demand)[0])
    width = int(blocks.max(initial=0)) + 1
    cells = np.bincount(demand.owner * width + blocks, minlength=known * width)
    counts = cells.reshape(known, width)
    judged: npt.NDArray[np.bool_] = (counts.sum(axis=1) >= MIN_JUDGED) & (
        np.count_nonzero(counts, axis=1) >= MIN_BLOCKS
    )
    return judged


def groups(demand: Demand) -> list[npt.NDArray[np.int64]]:
    """Services that are judged on their own, one to a group; then all small ones as one group."""
    judged = large(demand)
    found = [np.array([index]) for index in np.flatnonzero(judged)]
    small = np.flatnonzero(~judged)
    return [*found, small] if len(small) else found
