"""How sure: a block bootstrap over the days of the history, paired between options. Pure.

Whole days are drawn with replacement, because the requests of one day depend on each other; every
option is judged on the same draws, so that a difference is a difference between options and not
between draws (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 8 and 16).
"""

from __future__ import annotations

from dataclasses import dataclass

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
INTERVAL = (0.025, 0.975)


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


def draw(demand: Demand, *, resamples: int, seed: int) -> Draws:
    """Cut the history into blocks and draw the resamples."""
    span = demand.span_seconds
    if span >= MIN_DAYS_FOR_DAY_BLOCKS * DAY:
        midnight = demand.start.hour * 3600 + demand.start.minute * 60 + demand.start.second
        inner = np.arange(DAY - midnight, span, DAY)
        edges, block_seconds = np.concatenate([[0.0], inner, [span]]), DAY
    else:
        edges, block_seconds = np.linspace(0.0, span, SHORT_BLOCKS + 1), span / SHORT_BLOCKS
    blocks = len(edges) - 1
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=resamples).astype(
        np.float64
    )
    block = np.clip(np.searchsorted(edges, demand.arrivals, side="right") - 1, 0, blocks - 1)
    return Draws(block, edges, weights, block_seconds)


def interval(values: Floats) -> tuple[float, float]:
    """The central 95 % of resampled values."""
    low, high = np.quantile(values, INTERVAL)
    return float(low), float(high)


def shares(draws: Draws, mask: npt.NDArray[np.bool_], kept: npt.NDArray[np.bool_]) -> Floats:
    """Share of the masked requests that are ``kept``, in each resample; NaN where it holds none."""
    blocks = len(draws.edges) - 1
    total = np.bincount(draws.block[mask], minlength=blocks)
    good = np.bincount(draws.block[mask & kept], minlength=blocks)
    drawn = draws.weights @ total
    found: Floats = np.divide(
        draws.weights @ good, drawn, out=np.full(len(drawn), np.nan), where=drawn > 0
    )
    return found


def lower_bound(draws: Draws, mask: npt.NDArray[np.bool_], kept: npt.NDArray[np.bool_]) -> float:
    """Lower end of the interval of the share kept; the mirror of the percentile's upper end."""
    found = shares(draws, mask, kept)
    found = found[~np.isnan(found)]
    return float(np.quantile(found, INTERVAL[0])) if len(found) else 1.0


def groups(demand: Demand) -> list[npt.NDArray[np.int64]]:
    """Services that are judged on their own, one to a group; then all small ones as one group."""
    counts = np.bincount(demand.owner, minlength=len(demand.services))
    large = [np.array([index]) for index in np.flatnonzero(counts >= MIN_JUDGED)]
    small = np.flatnonzero(counts < MIN_JUDGED)
    return [*large, small] if len(small) else large
