"""What an expression is worth at each step: a row for each series. Pure."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lightmeter.errors import QueryError
from lightmeter.localprom.labels import Labels, show


Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
MOST_CELLS = 50_000_000
"""Values of one frame, as many as Prometheus loads for one query (``--query.max-samples``)."""


MOST_SPENT = 4 * MOST_CELLS
"""Values of all frames of one query, which may be there at the same time: some 2 GB."""
_spent: ContextVar[list[int] | None] = ContextVar("spent", default=None)


@contextlib.contextmanager
def budget() -> Iterator[None]:
    """Count what one query makes, however many parts it has."""
    token = _spent.set([0])
    try:
        yield
    finally:
        _spent.reset(token)


@dataclass(frozen=True)
class Frame:
    """``values`` and ``there`` are (series, steps); a value counts where ``there`` is true.

    NaN is a value like another, so that absence needs a mask of its own.
    """

    labels: list[Labels]
    values: Floats
    there: Bools

    @property
    def steps(self) -> int:
        """How many moments it covers."""
        return int(self.values.shape[1])

    def rows(self, chosen: Sequence[int]) -> Frame:
        """Take some rows, in this order."""
        index = np.asarray(chosen, dtype=np.int64)
        return Frame([self.labels[row] for row in chosen], self.values[index], self.there[index])

    def relabelled(self, change: Callable[[Labels], Labels]) -> Frame:
        """Change all label sets; see `merged`."""
        return merged(Frame([change(labels) for labels in self.labels], self.values, self.there))

    def masked(self, there: Bools) -> Frame:
        """Let fewer values count."""
        return Frame(self.labels, self.values, self.there & there)


def empty(steps: int) -> Frame:
    """Make a frame without series."""
    return Frame([], np.zeros((0, steps)), np.zeros((0, steps), bool))


def room(series: int, steps: int) -> tuple[Floats, Bools]:
    """Make space for values, all absent.

    Raises:
        QueryError: they would be too many.
    """
    spent = _spent.get() or [0]
    spent[0] += series * steps
    if series * steps > MOST_CELLS or spent[0] > MOST_SPENT:
        raise QueryError(f"the query makes {series} series of {steps} values; ask for a shorter range, a longer step or fewer series")  # fmt: skip
    return np.full((series, steps), np.nan), np.zeros((series, steps), bool)


def one_row(labels: Labels, values: Floats, there: Bools | None = None) -> Frame:
    """Make a frame of a single series."""
    mask = np.ones(values.shape, bool) if there is None else there
    return Frame([labels], values[None, :], mask[None, :])


def stacked(frames: Sequence[Frame], steps: int) -> Frame:
    """Put frames under one another."""
    if not frames:
        return empty(steps)
    labels = [each for frame in frames for each in frame.labels]
    return Frame(labels, np.concatenate([frame.values for frame in frames]), np.concatenate([frame.there for frame in frames]))  # fmt: skip


def merged(frame: Frame) -> Frame:
    """Unite rows of the same labels that are never there together.

    Raises:
        QueryError: two are; as in Prometheus.
    """
    groups = grouped(frame.labels)
    if len(groups) == len(frame.labels):
        return frame
    values, there = room(len(groups), frame.steps)
    for at, (labels, rows) in enumerate(groups.items()):
        if frame.there[rows].sum(axis=0).max(initial=0) > 1:
            raise QueryError(f"vector cannot contain metrics with the same labelset: {show(labels)}")  # fmt: skip
        for row in rows:
            values[at] = np.where(frame.there[row], frame.values[row], values[at])
        there[at] = frame.there[rows].any(axis=0)
    return Frame(list(groups), values, there)


def grouped(keys: Sequence[Labels]) -> dict[Labels, list[int]]:
    """List the rows of each key, in the order of first appearance."""
    groups: dict[Labels, list[int]] = {}
    for row, key in enumerate(keys):
        groups.setdefault(key, []).append(row)
    return groups
