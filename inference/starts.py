"""How long workers take to start, as measured here, and so how long one that starts will still take."""

from __future__ import annotations

import statistics
from collections import deque


REMEMBERED = 5
"""Starts that are looked at; the first of a machine, which reads from a cold disk, is soon forgotten."""
LEAST_SECONDS = 1.0
_OVERDUE = 0.1
"""Of the time that a start has taken which is longer than usual: so much more is expected of it."""


class Starts:
    """Seconds from a worker's start to its being ready."""

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=REMEMBERED)

    def saw(self, seconds: float) -> None:
        """Take note of one that is over."""
        self._seconds.append(seconds)

    @property
    def expected(self) -> float | None:
        """The median of the last ones; None before the first."""
        return statistics.median(self._seconds) if self._seconds else None

    def left(self, elapsed: float) -> float | None:
        """Seconds that a start which has taken ``elapsed`` will still take; None before the first."""
        expected = self.expected
        if expected is None:
            return None
        return max(expected - elapsed, _OVERDUE * elapsed, LEAST_SECONDS)
