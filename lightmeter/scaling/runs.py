"""Long lists of few values, as a record holds them: a run of one value is written once. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, groupby, repeat
from typing import Any


SHORTEST = 3
"""Shorter runs are written out."""
LONGEST = 100_000
"""No record of ours has a longer one, and reading one takes no more memory than that."""


def packed(values: Iterable[float | None]) -> list[Any]:
    """Write a run of values as ``[value, times]``: 10,000 replicas take a few lines, not 680 KB."""
    runs = ((value, len(list(same))) for value, same in groupby(values))
    return list(chain.from_iterable([[value, times]] if times >= SHORTEST else [value] * times for value, times in runs))  # fmt: skip


def unpacked(written: Iterable[Any]) -> Iterator[Any]:
    """Read what `packed` wrote, or a list that is written out.

    Raises:
        ValueError: a run is none.
    """
    for item in written:
        if not isinstance(item, list):
            yield item
            continue
        value, times = item
        if not isinstance(times, int) or not 0 < times <= LONGEST:
            raise ValueError(f"a run of {times!r}; it must be of 1 to {LONGEST}")
        yield from repeat(value, times)
