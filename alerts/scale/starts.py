"""How long starts take, from the order to being ready, as the looks show it."""

from __future__ import annotations

from collections import deque

from alerts.scale.fleet import Fleet


KEPT = 20
"""Of the last starts, whose mean is told to the decision."""


class Starts:
    """Watches a fleet from look to look; moments are seconds of a clock that never jumps.

    A start ends somewhere between two looks and is taken to end in the middle, so a single one is
    wrong by half of the time between them at most, and many of them are not wrong on average.
    """

    def __init__(self) -> None:
        self._ordered: list[float] = []
        self._before: tuple[float, Fleet] | None = None
        self._took: deque[float] = deque(maxlen=KEPT)

    @property
    def mean(self) -> float | None:
        """Tell what a start takes, seconds; None before the first."""
        return sum(self._took) / len(self._took) if self._took else None

    def order(self, now: float, standing: int, to: int) -> None:
        """Note that so many are asked for; those that are let go are the ones ordered last."""
        more = to - standing
        self._ordered = self._ordered[: max(0, len(self._ordered) + min(0, more))] + [now] * more

    def look(self, now: float, fleet: Fleet) -> list[float]:
        """Compare with the look before; return how long the starts took that have ended."""
        at, before = self._before or (now, fleet)
        self._before = now, fleet
        gone = max(0, len(self._ordered) - fleet.starting)
        ready = min(gone, max(0, fleet.ready - before.ready))
        ended = [(max(at, begun) + now) / 2 - begun for begun in self._ordered[:ready]]
        self._ordered = self._ordered[ready : ready + fleet.starting]
        # somebody else's orders, of some moment since the last look
        self._ordered += [(at + now) / 2] * (fleet.starting - len(self._ordered))
        self._took.extend(ended)
        return ended
