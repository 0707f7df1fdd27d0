"""The one bounded queue in front of all workers, and the estimate of how long it takes.

Each request has a virtual arrival time: a batch request's lies ``batch_penalty`` seconds late. The
earliest goes first, so interactive requests overtake batch ones, and no batch request is overtaken
by one that came more than the penalty after it.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from dataclasses import dataclass, field

from inference import wire
from inference.engine import Job
from lightmeter.catalog import Priority, ShedReason
from lightmeter.errors import LightmeterError
from lightmeter.units import megapixels


class Refused(LightmeterError):  # noqa: N818  (a refusal is an answer, not a fault)
    """The request is turned away unserved; ``retry_after`` is seconds, for the header."""

    def __init__(self, reason: ShedReason, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_after = retry_after


def work_of(job: Job) -> float:
    """Size of a job in megapixel-forwards."""
    return megapixels(job.width, job.height) * job.steps * job.images


@dataclass(eq=False)
class Ticket:
    """A request in the queue or at a worker. Times are `time.monotonic` seconds."""

    job: Job
    priority: Priority
    arrived: float
    future: asyncio.Future[tuple[wire.Header, bytes]]
    started: float | None = None
    worker: wire.Header = field(default_factory=dict)
    """Ready message of the worker that took it."""
    work: float = field(init=False)

    def __post_init__(self) -> None:
        self.work = work_of(self.job)


class Pace:
    """Seconds of a worker for one megapixel-forward: a moving average of what was seen."""

    def __init__(self, weight: float = 0.1) -> None:
        self._weight = weight
        self.seconds_per_work: float | None = None

    def saw(self, work: float, seconds: float) -> None:
        """Take one finished job into the average."""
        pace = seconds / work
        last = self.seconds_per_work
        self.seconds_per_work = pace if last is None else last + self._weight * (pace - last)

    def predict(self, work: float) -> float:
        """Seconds that one worker needs for this much work; 1 s where nothing was seen yet."""
        return work * self.seconds_per_work if self.seconds_per_work else 1.0


class WaitingRoom:
    """Bounded queue; `take` waits for the next request."""

    def __init__(self, bound: int, batch_penalty: float) -> None:
        self.bound = bound
        self._penalty = {Priority.INTERACTIVE: 0.0, Priority.BATCH: batch_penalty}
        self._heap: list[tuple[float, int, Ticket]] = []
        self._order = itertools.count()
        self._arrival = asyncio.Event()

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def work(self) -> float:
        """Megapixel-forwards that wait."""
        return sum(ticket.work for _, _, ticket in self._heap)

    def depth(self, priority: Priority) -> int:
        """Count the waiting requests of one priority."""
        return sum(ticket.priority is priority for _, _, ticket in list(self._heap))

    def put(self, ticket: Ticket) -> None:
        """Queue a request; the caller has checked the bound with `full`."""
        at = ticket.arrived + self._penalty[ticket.priority]
        heapq.heappush(self._heap, (at, next(self._order), ticket))
        self._arrival.set()

    @property
    def full(self) -> bool:
        """Tell whether one more request would exceed the bound."""
        return len(self._heap) >= self.bound

    def drop(self, ticket: Ticket) -> None:
        """Take a request out again, if it still waits."""
        self._heap = [entry for entry in self._heap if entry[2] is not ticket]
        heapq.heapify(self._heap)

    async def take(self) -> Ticket:
        """Wait for and remove the next request."""
        while not self._heap:
            self._arrival.clear()
            await self._arrival.wait()
        ticket = heapq.heappop(self._heap)[2]
        ticket.started = time.monotonic()
        return ticket
