"""How evenly the workers are busy."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable


WINDOW_SECONDS = 300.0
"""The balance looks back so far."""
_SLOT_SECONDS = 10.0


class BusyLog:
    """Busy seconds of one worker in the last five minutes, to ten seconds. Times are monotonic."""

    def __init__(self) -> None:
        self._slots: deque[tuple[int, float]] = deque()

    def add(self, begin: float, end: float) -> None:
        """Count a spell of work."""
        slot = int(end / _SLOT_SECONDS)
        before = self._slots.pop()[1] if self._slots and self._slots[-1][0] == slot else 0.0
        self._slots.append((slot, before + end - begin))
        while self._slots[0][0] < _first_slot(end):
            self._slots.popleft()

    def seconds(self, now: float) -> float:
        """Busy seconds of the window that ends now; other threads may ask."""
        first = _first_slot(now)
        return sum(seconds for slot, seconds in list(self._slots) if slot >= first)


def _first_slot(now: float) -> float:
    return (now - WINDOW_SECONDS) / _SLOT_SECONDS - 1


def balance_ratio(busy: Iterable[float]) -> float:
    """Mean over maximum; 1 where nobody was busy. One idle worker of two gives 0.5."""
    seconds = list(busy)
    return sum(seconds) / len(seconds) / max(seconds) if any(seconds) else 1.0
