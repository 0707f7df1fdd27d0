"""Counters and histograms as single events. Pure.

A counter's value at a time is that of the last sample before it. What it grew by between two times
happened in between; where it fell, its process began again, and it grew by what it shows.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from planner.promql import Floats, Series


Words = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Events:
    """What a counter counted: the time of each event, and the draw, 0 to 1, that placed it."""

    when: Floats
    draw: Floats
    names: list[str]
    """A name for each that is the same whenever it is made again."""


def grown(
    series: Series, first: float, step: float
) -> tuple[Floats, Floats, npt.NDArray[np.int64]]:
    """Tell by how much a counter grew: begin and end of each span in which it did, and the count.

    A series that begins after ``first``, when there were others already, is a new process's: it
    began at zero, a step before. One that is there at ``first`` began before; so much is not known.
    """
    times, values = series.times, series.values
    steps = np.diff(values)
    count = np.where(steps < 0, values[1:], steps)
    begin, end = times[:-1], times[1:]
    if times[0] > first:
        begin = np.concatenate([[max(first, times[0] - step)], begin])
        end = np.concatenate([times[:1], end])
        count = np.concatenate([values[:1], count])
    whole = np.rint(count).astype(np.int64)
    kept = whole > 0
    return begin[kept], end[kept], whole[kept]


def events(series: Series, first: float, step: float) -> Events:
    """Place each of a counter's events within the span in which it happened, evenly at random.

    The same span gives the same times, whatever else is asked for.
    """
    begin, end, count = grown(series, first, step)
    key = zlib.crc32(repr(sorted(series.labels.items())).encode())
    span = np.repeat(np.arange(len(count)), count)
    number = np.arange(len(span)) - np.repeat(np.cumsum(count) - count, count)
    stamp = np.rint(end).astype(np.int64)[span]
    seed = _mixed(np.uint64(key) << np.uint64(32) ^ stamp.astype(np.uint64))
    word = _mixed(seed + number.astype(np.uint64))
    share = _unit(word)
    when = begin[span] + (end - begin)[span] * share
    names = [f"{key:08x}-{second}-{index}" for second, index in zip(stamp.tolist(), number.tolist(), strict=True)]  # fmt: skip
    return Events(when, _unit(_mixed(word)), names)


def _mixed(words: Words) -> Words:
    """Mix the bits, as SplitMix64 does (https://doi.org/10.1145/2660193.2660195)."""
    with np.errstate(over="ignore"):
        words = words + np.uint64(0x9E3779B97F4A7C15)
        words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed: Words = words ^ (words >> np.uint64(31))
    return mixed


def _unit(words: Words) -> Floats:
    share: Floats = ((words >> np.uint64(11)).astype(np.float64) + 0.5) / 2**53
    return share


@dataclass(frozen=True)
class Shape:
    """A histogram's distribution: cumulative counts at its bounds, both from 0 on."""

    bounds: Floats
    below: Floats

    def drawn(self, share: Floats) -> Floats:
        """Give the quantiles at these shares, evenly within each bucket."""
        found: Floats = np.interp(share * self.below[-1], self.below, self.bounds)
        return found

    @property
    def mean(self) -> float:
        """Mean of what `drawn` gives."""
        middle = (self.bounds[1:] + self.bounds[:-1]) / 2
        return float(np.sum(np.diff(self.below) * middle) / self.below[-1])


def shape(buckets: Iterable[tuple[float, float]]) -> Shape | None:
    """Make a distribution of pairs (upper bound, cumulative count); None where nothing was counted.

    What is above the last finite bound is taken to lie on it.
    """
    pairs = sorted(buckets)
    finite = [bound for bound, _ in pairs if np.isfinite(bound)]
    counts = np.maximum.accumulate([0.0, *(count for _, count in pairs)])
    if not finite or counts[-1] <= 0:
        return None
    bounds = np.array([0.0, *(min(bound, finite[-1]) for bound, _ in pairs)])
    return Shape(bounds, counts)


def gaps(all_series: Sequence[Series], first: float, last: float, step: float) -> list[tuple[float, float]]:  # fmt: skip
    """List the spans [from, to] of the grid, longer than two steps, in which no series has a value."""
    seen = np.unique(np.concatenate([[first - step, last + step], *(one.times for one in all_series)]))  # fmt: skip
    wide = np.flatnonzero(np.diff(seen) > 2.5 * step)
    return [(max(first, seen[at]), min(last, seen[at + 1])) for at in wide]
