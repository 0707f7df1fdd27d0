"""Times of a batch, from marks that nobody waits for while the device works.

A mark is an event put into the device's own queue of work, so the time between two of them is the
work's and not the launch's, and noting one costs no wait. They are read when the pictures are on
the host and the device is done with them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Protocol, Self

from lightmeter.catalog import Clock


class Event(Protocol):
    """A moment in a device's queue of work: what `torch.cuda.Event` offers."""

    def record(self) -> None:
        """Put the moment behind the work that is queued now."""
        ...

    def synchronize(self) -> None:
        """Wait until the device has come to it."""
        ...

    def elapsed_time(self, later: Self) -> float:
        """Milliseconds from this moment to a later one; both must have come."""
        ...


class HostEvent:
    """A moment on the host's monotonic clock: for a device that works while it is called."""

    def __init__(self) -> None:
        self._at = 0.0

    def record(self) -> None:
        """Note the time."""
        self._at = time.perf_counter()

    def synchronize(self) -> None:
        """Nothing is queued, so there is nothing to wait for."""

    def elapsed_time(self, later: HostEvent) -> float:
        """Milliseconds from this moment to a later one."""
        return (later._at - self._at) * 1000


class Stopwatch:
    """The marks of one batch."""

    def __init__(self, clock: Clock, new_event: Callable[[], Event]) -> None:
        self.clock = clock
        self._new_event = new_event
        self._marks: list[Event] = []

    def start(self) -> None:
        """Forget the last batch and note the beginning of this one."""
        self._marks = []
        self.mark()

    def mark(self) -> None:
        """Note a boundary, without a wait."""
        event = self._new_event()
        event.record()
        self._marks.append(event)

    def keep_pace(self) -> None:
        """Wait until the device has come to the mark before the newest.

        The device always has a step in its queue, so it never idles for this; but the host does not
        run ahead by more, or it would have queued every step before it hears that nobody wants them.
        """
        if len(self._marks) > 1:
            self._marks[-2].synchronize()

    def read(self) -> list[float]:
        """Return the seconds from the beginning to each mark; waits for the newest."""
        self._marks[-1].synchronize()
        return [self._marks[0].elapsed_time(mark) / 1000 for mark in self._marks]


def host_watch() -> Stopwatch:
    """Make a stopwatch by the host's clock."""
    return Stopwatch(Clock.HOST, HostEvent)


def cuda_watch() -> Stopwatch:
    """Make a stopwatch by the events of the current CUDA device's current stream."""
    import torch

    return Stopwatch(Clock.CUDA_EVENT, partial(torch.cuda.Event, enable_timing=True))
