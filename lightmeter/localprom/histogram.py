"""Quantiles of classic histograms. Pure.

The interpolation is Prometheus's:
https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile
"""

from __future__ import annotations

import contextlib

import numpy as np

from lightmeter.localprom.frame import Bools, Floats, Frame, grouped, room
from lightmeter.localprom.labels import NAME, without


BOUND = "le"


def histogram_quantile(share: Floats, frame: Frame) -> Frame:
    """Interpolate a quantile of each histogram; ``share`` is one for each step."""
    rows, bounds = _bounded(frame)
    members = grouped([without(frame.labels[row], (NAME, BOUND)) for row in rows])
    values, there = room(len(members), frame.steps)
    for at, places in enumerate(members.values()):
        chosen = [rows[place] for place in places]
        edges = np.array([bounds[place] for place in places])
        there[at] = frame.there[chosen].any(axis=0)
        values[at] = _by_presence(share, edges, frame.values[chosen], frame.there[chosen])
    return Frame(list(members), values, there)


def _bounded(frame: Frame) -> tuple[list[int], list[float]]:
    rows: list[int] = []
    bounds: list[float] = []
    for row, labels in enumerate(frame.labels):
        with contextlib.suppress(ValueError):
            bounds.append(float(dict(labels).get(BOUND, "")))
            rows.append(row)
    return rows, bounds


def _by_presence(share: Floats, edges: Floats, counts: Floats, there: Bools) -> Floats:
    """Work on the steps together that have the same buckets."""
    found = np.full(counts.shape[1], np.nan)
    patterns, which = np.unique(there, axis=1, return_inverse=True)
    for number in range(patterns.shape[1]):
        buckets = np.flatnonzero(patterns[:, number])
        steps = np.flatnonzero(which.ravel() == number)
        if len(buckets):
            found[steps] = _quantile(share[steps], edges[buckets], counts[np.ix_(buckets, steps)])
    return found


def _quantile(share: Floats, edges: Floats, counts: Floats) -> Floats:
    """Interpolate; ``counts`` is (buckets, steps), cumulative."""
    bounds, place = np.unique(edges, return_inverse=True)
    total = np.zeros((len(bounds), counts.shape[1]))
    np.add.at(total, place.ravel(), counts)
    outside = np.where(share < 0, -np.inf, np.where(share > 1, np.inf, np.nan))
    if bounds[-1] != np.inf or len(bounds) < 2:  # noqa: PLR2004 (one bound has nothing below it)
        return outside
    total = np.fmax.accumulate(total, axis=0)
    rank = share * total[-1]
    bucket = np.argmax(np.vstack([total[:-1] >= rank, np.ones(len(share), bool)]), axis=0)
    inside = _interpolated(bounds, total, rank, bucket)
    inside = np.where(total[-1] == 0, np.nan, inside)
    return np.where((share >= 0) & (share <= 1), inside, outside)


def _interpolated(bounds: Floats, total: Floats, rank: Floats, bucket: np.typing.NDArray[np.intp]) -> Floats:  # fmt: skip
    steps = np.arange(len(rank))
    below = np.maximum(bucket - 1, 0)
    start = np.where(bucket > 0, bounds[below], 0.0)
    before = np.where(bucket > 0, total[below, steps], 0.0)
    width = bounds[bucket] - start
    found = start + width * ((rank - before) / (total[bucket, steps] - before))
    found = np.where((bucket == 0) & (bounds[0] <= 0), bounds[0], found)
    return np.where(bucket == len(bounds) - 1, bounds[-2], found)
