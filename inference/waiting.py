"""The one bounded queue in front of all workers, and the estimate of how long it takes.

Each request has a virtual arrival time: a batch request's lies ``batch_penalty`` seconds late. The
earliest goes first, so interactive requests overtake batch ones, and no batch request is overtaken
by one that came more than the penalty after it.
"""

from __future__ import annotations

import asyncio
import bisect
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from inference import wire
from inference.engine import Job
from lightmeter.catalog import Priority, ShedReason, StopReason
from lightmeter.errors import LightmeterError
from lightmeter.units import megapixels


MOST_SCANNED = 512
"""Places of the line that are looked at for riders."""


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
    future: asyncio.Future[Answer]
    started: float | None = None
    tries: int = 0
    worker: wire.Header = field(default_factory=dict)
    """Ready message of the worker that took it."""
    work: float = field(init=False)

    def __post_init__(self) -> None:
        self.work = work_of(self.job)


@dataclass(frozen=True)
class Answer:
    """A worker's answer to one request of a batch.

    ``header`` is the batch's result, ``payload`` this request's pixels, ``share`` its part of the
    pictures and so of the GPU time, ``batch`` the requests that rode together.
    """

    header: wire.Header
    payload: bytes
    share: float
    batch: int


@dataclass(frozen=True)
class Batch:
    """Requests to be made in one call, and what closed the batch."""

    tickets: list[Ticket]
    stop_reason: StopReason

    @property
    def images(self) -> int:
        """Pictures in the batch."""
        return sum(ticket.job.images for ticket in self.tickets)

    @property
    def wanted_share(self) -> float:
        """Share of the pictures that somebody still waits for."""
        wanted = sum(ticket.job.images for ticket in self.tickets if not ticket.future.done())
        return wanted / self.images

    @property
    def key(self) -> tuple[float, ...]:
        """What its jobs have in common."""
        return self.tickets[0].job.batch_key

    @property
    def work(self) -> float:
        """Megapixel-forwards of the batch."""
        return sum(ticket.work for ticket in self.tickets)

    def halves(self) -> tuple[Batch, Batch]:
        """Split it in two, for a device that has not the memory for the whole."""
        middle = len(self.tickets) // 2
        return Batch(self.tickets[:middle], self.stop_reason), Batch(
            self.tickets[middle:], self.stop_reason
        )


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
    """Bounded queue; `take` waits for the next request and those that can ride with it."""

    def __init__(self, bound: int, batch_penalty: float) -> None:
        self.bound = bound
        self._penalty = {Priority.INTERACTIVE: 0.0, Priority.BATCH: batch_penalty}
        self._line: list[tuple[float, int, Ticket]] = []
        self._order = itertools.count()
        self._arrival = asyncio.Event()

    def __len__(self) -> int:
        return len(self._line)

    @property
    def work(self) -> float:
        """Megapixel-forwards that wait."""
        return sum(ticket.work for _, _, ticket in self._line)

    def depth(self, priority: Priority) -> int:
        """Count the waiting requests of one priority."""
        return sum(ticket.priority is priority for _, _, ticket in list(self._line))

    def put(self, ticket: Ticket) -> None:
        """Queue a request; the caller has checked the bound with `full`."""
        at = ticket.arrived + self._penalty[ticket.priority]
        bisect.insort(self._line, (at, next(self._order), ticket))
        self._arrival.set()

    @property
    def full(self) -> bool:
        """Tell whether one more request would exceed the bound."""
        return len(self._line) >= self.bound

    def drop(self, ticket: Ticket) -> None:
        """Take a request out again, if it still waits."""
        self._line = [entry for entry in self._line if entry[2] is not ticket]

    async def take(self, most: Callable[[Job], int]) -> Batch:
        """Wait for the next request; take it and others like it, up to ``most(job)`` pictures.

        The first in line always goes, so a request in place p is served after at most p batches,
        whoever rides with those before it.
        """
        while not self._line:
            self._arrival.clear()
            await self._arrival.wait()
        batch = self._gather(most(self._line[0][2].job))
        now = time.monotonic()
        for ticket in batch.tickets:
            ticket.started = now
        return batch

    def _gather(self, most: int) -> Batch:
        head = self._line[0][2]
        riders, images, reason = [self._line[0]], head.job.images, StopReason.DRAINED
        for entry in self._line[1:MOST_SCANNED]:
            job = entry[2].job
            if images >= most:
                break
            if job.batch_key == head.job.batch_key and images + job.images <= most:
                riders.append(entry)
                images += job.images
            else:
                reason = StopReason.INCOMPATIBLE
        taken = {entry[1] for entry in riders}
        self._line = [entry for entry in self._line if entry[1] not in taken]
        reason = StopReason.FULL if images >= most else reason
        return Batch([entry[2] for entry in riders], reason)
