"""How much service times vary, from the buckets of a histogram. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping


LEAST = 20
"""Observations; fewer say nothing of how they vary."""


def scv(buckets: Mapping[float, float]) -> float | None:
    """Return the squared coefficient of variation; ``buckets`` is by upper bound, cumulative.

    Within a bucket all orders of magnitude are taken to be equally likely, so that times that do
    not vary at all come out at 0.03 (buckets of a factor of 1.8), exponential ones at 1.12; beyond
    the last bound they are at it.
    """
    bounds = sorted(buckets)
    if not bounds or not math.isinf(bounds[-1]) or buckets[bounds[-1]] < LEAST:
        return None
    first = second = below = low = 0.0
    for bound in bounds:
        count, below = max(0.0, buckets[bound] - below), max(below, buckets[bound])
        high = low if math.isinf(bound) else bound
        mean, square = _moments(low, high)
        first += count * mean
        second += count * square
        low = high
    mean = first / below
    return max(0.0, second / below / mean**2 - 1) if mean else None


def _moments(low: float, high: float) -> tuple[float, float]:
    """Return the mean of a value between two bounds, and of its square; density is 1 / value."""
    if low <= 0 or low == high:
        middle = (low + high) / 2
        return middle, middle * middle
    span = math.log(high / low)
    return (high - low) / span, (high * high - low * low) / (2 * span)
