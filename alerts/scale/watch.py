"""Who is told of decisions: several at once, and one that says what is wanted now, or that nobody knows."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from lightmeter.scaling.decision import inputs
from lightmeter.scaling.signals import Observations
from lightmeter.scaling.terms import unusable


class Watcher(Protocol):
    """Whoever counts decisions."""

    def decided(self, record: dict[str, Any], seen: Observations) -> None:
        """Take note of one."""
        ...

    def waits(self) -> None:
        """Take note that another one scales, so that what was told before is no longer ours to tell."""
        ...


class Several:
    """Tells each of several watchers."""

    def __init__(self, *watchers: Watcher) -> None:
        self._watchers = watchers

    def decided(self, record: dict[str, Any], seen: Observations) -> None:
        """Tell them in order."""
        for watcher in self._watchers:
            watcher.decided(record, seen)

    def waits(self) -> None:
        """Tell them in order."""
        for watcher in self._watchers:
            watcher.waits()


class Told(NamedTuple):
    """What is wanted, or why nobody can say."""

    replicas: int | None
    why: str = ""


class Latest:
    """The latest decision, for those who ask for it: never a number that rests on missing readings.

    ``longest`` is after how many seconds a decision is too old; ``clock`` is monotonic.
    """

    def __init__(self, longest: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._longest, self._clock = longest, clock
        self._last: tuple[Told, float] | None = None
        self.listeners: list[Callable[[], None]] = []
        """Called after each decision, in the scaler's thread."""

    def decided(self, record: dict[str, Any], seen: Observations) -> None:
        """Remember one, and wake those who wait for it."""
        del seen  # the record has it, as it was decided on
        state, decided_on, _ = inputs(record)
        missing = dict.fromkeys(unusable(state, decided_on))
        why = f"{', '.join(missing)} cannot be seen" if missing else ""
        self._last = Told(None if missing else record["to"], why), self._clock()
        for listener in self.listeners:
            listener()

    def waits(self) -> None:
        """Let the last decision grow old: who asks is told why nobody knows."""

    def told(self) -> Told:
        """Say what is wanted now."""
        if self._last is None:
            return Told(None, "nothing has been decided yet")
        told, at = self._last
        age = self._clock() - at
        if age > self._longest:
            return Told(None, f"the last decision is {age:.0f} s old; another scaler decides, or this one is stuck")  # fmt: skip
        return told
