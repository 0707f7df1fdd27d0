"""Greatest and mean values over a sliding time window."""

from __future__ import annotations

from collections import deque


class Greatest:
    """The greatest of the values of the last ``seconds``, each step in constant time."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._kept: deque[tuple[float, int]] = deque()

    def add(self, now: float, value: int) -> int:
        """Take a value in and return the greatest that is not older than the window."""
        kept = self._kept
        while kept and kept[-1][1] <= value:
            kept.pop()
        kept.append((now, value))
        while kept[0][0] < now - self._seconds:
            kept.popleft()
        return kept[0][1]


class Mean:
    """The mean over time of the last ``seconds``, from means between looks."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._kept: deque[tuple[float, float, float]] = deque()
        self._area = 0.0
        self._last: float | None = None

    def add(self, now: float, value: float) -> float:
        """Take in the mean since the last look and return the mean over the window."""
        since = now - self._seconds
        begin = since if self._last is None else self._last
        self._last = now
        kept = self._kept
        kept.append((begin, now, value))
        self._area += (now - begin) * value
        while kept[0][1] <= since and len(kept) > 1:
            old_begin, old_end, old = kept.popleft()
            self._area -= (old_end - old_begin) * old
        first_begin, _, first = kept[0]
        over = max(0.0, since - first_begin) * first
        return max(0.0, (self._area - over) / self._seconds)
