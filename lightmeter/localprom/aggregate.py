"""Aggregations: many series into few, or into some of them. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from lightmeter.errors import QueryError
from lightmeter.localprom.frame import Bools, Floats, Frame, empty, grouped, merged, room, stacked
from lightmeter.localprom.labels import NAME, Labels, changed, only, without
from lightmeter.localprom.windows import quantile, variance


def keys(frame: Frame, names: Sequence[str] | None, *, by: bool) -> list[Labels]:
    """Say which group each series belongs to, by its labels."""
    if by:
        chosen = frozenset(names or ())
        return [only(labels, chosen) for labels in frame.labels]
    dropped = frozenset([*(names or ()), NAME])
    return [without(labels, dropped) for labels in frame.labels]


def _sum(values: Floats, there: Bools) -> Floats:
    total: Floats = np.where(there, values, 0.0).sum(axis=0)
    return total


def _count(_: Floats, there: Bools) -> Floats:
    total: Floats = there.sum(axis=0).astype(np.float64)
    return total


def _avg(values: Floats, there: Bools) -> Floats:
    return _sum(values, there) / np.maximum(_count(values, there), 1)


def _min(values: Floats, there: Bools) -> Floats:
    lowest: Floats = np.fmin.reduce(np.where(there, values, np.nan), axis=0)
    return lowest


def _max(values: Floats, there: Bools) -> Floats:
    highest: Floats = np.fmax.reduce(np.where(there, values, np.nan), axis=0)
    return highest


def _group(values: Floats, _: Bools) -> Floats:
    return np.ones(values.shape[1])


def _columns(values: Floats, there: Bools, function: Callable[[int, Floats], float]) -> Floats:
    found = np.full(values.shape[1], np.nan)
    for step in np.flatnonzero(there.any(axis=0)):
        found[step] = function(int(step), values[there[:, step], step])
    return found


def _stdvar(values: Floats, there: Bools) -> Floats:
    return _columns(values, there, lambda _, column: variance(column))


def _stddev(values: Floats, there: Bools) -> Floats:
    return np.sqrt(_stdvar(values, there))


SIMPLE: dict[str, Callable[[Floats, Bools], Floats]] = {
    "sum": _sum,
    "count": _count,
    "avg": _avg,
    "min": _min,
    "max": _max,
    "group": _group,
    "stddev": _stddev,
    "stdvar": _stdvar,
}


def simple(operator: str, frame: Frame, groups: list[Labels]) -> Frame:
    """Make one series of each group.

    Raises:
        QueryError: there is no such aggregation here.
    """
    function = SIMPLE.get(operator)
    if function is None:
        raise QueryError(f"aggregation {operator!r} is not supported; use --prometheus for it")
    return _each(frame, groups, function)


def quantiles(frame: Frame, groups: list[Labels], shares: Floats) -> Frame:
    """Interpolate a quantile of each group; ``shares`` is one for each step."""

    def column(values: Floats, there: Bools) -> Floats:
        return _columns(values, there, lambda step, part: quantile(float(shares[step]), part))

    return _each(frame, groups, column)


def _each(frame: Frame, groups: list[Labels], function: Callable[[Floats, Bools], Floats]) -> Frame:
    members = grouped(groups)
    values, there = room(len(members), frame.steps)
    for at, rows in enumerate(members.values()):
        values[at] = function(frame.values[rows], frame.there[rows])
        there[at] = frame.there[rows].any(axis=0)
    return Frame(list(members), values, there)


def ranks(values: Floats, there: Bools, *, largest: bool) -> Floats:
    """Rank each column from 0; NaN comes after numbers, absence after NaN."""
    place = np.where(there, np.where(np.isnan(values), 1, 0), 2)
    ordered = np.lexsort((-values if largest else values, place), axis=0)
    found: Floats = np.argsort(ordered, axis=0).astype(np.float64)
    return found


def best(frame: Frame, groups: list[Labels], count: Floats, *, largest: bool) -> Frame:
    """Keep the ``count`` (one for each step) largest or smallest of each group, best first."""
    parts: list[Frame] = []
    for rows in grouped(groups).values():
        part = frame.rows(rows)
        rank = ranks(part.values, part.there, largest=largest)
        order = np.argsort(rank[:, 0], kind="stable")
        parts.append(part.masked(rank < np.trunc(count)).rows([int(row) for row in order]))
    return stacked(parts, frame.steps)


def number(value: float) -> str:
    """Write a number as Prometheus does where a label's value is made of it."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return np.format_float_positional(value, trim="-")


def count_values(frame: Frame, groups: list[Labels], label: str) -> Frame:
    """Count equal values in each group; the value becomes a label."""
    parts = [empty(frame.steps)]
    for key, rows in grouped(groups).items():
        values, there = frame.values[rows], frame.there[rows]
        texts = {number(value): value for value in np.unique(values[there])}
        for text, value in texts.items():
            same = there & ((values == value) | (np.isnan(values) & math.isnan(value)))
            total = same.sum(axis=0).astype(np.float64)
            parts.append(Frame([changed(key, {label: text})], total[None, :], total[None, :] > 0))
    return merged(stacked(parts, frame.steps))
