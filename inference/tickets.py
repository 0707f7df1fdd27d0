"""A request that waits for a worker, the batch it rides in, and the worker's answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from inference import wire
from inference.engine import Job
from inference.keys import ANYONE, Tenant
from lightmeter.catalog import Priority, ShedReason, StopReason
from lightmeter.errors import LightmeterError, WorkerError
from lightmeter.units import megapixels


Flow = tuple[Priority, str | None]
"""Requests that have a share of their own: a class, and in it a tenant's name."""


class Refused(LightmeterError):  # noqa: N818  (a refusal is an answer, not a fault)
    """The request is turned away unserved; ``retry_after`` is seconds, for the header."""

    def __init__(self, reason: ShedReason, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_after = retry_after


class JobError(WorkerError):
    """The model could not make the picture."""


class DoesNotFit(WorkerError):  # noqa: N818  (an answer, not a fault)
    """Not even alone does the request fit the device."""


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
    tenant: Tenant = ANYONE
    mark: bytes = b""
    """Its `promises.fingerprint`."""
    progress: Callable[[int, int], None] | None = None
    """Told (steps done, steps in all) after each step."""
    returns: bool = False
    """Whether it was refused before and came back when told."""
    predicted: float = 0.0
    """Seconds that it would wait, as thought when it was let in; 0 where that is not to be judged."""
    started: float | None = None
    """When it was taken out of the queue."""
    attempted: float | None = None
    """When the batch that made it was handed to the worker; later than ``started`` after a halving."""
    alone: float | None = None
    """Seconds that a worker was expected to take for it alone, when one took it; None: unknown."""
    tries: int = 0
    worker: wire.Header = field(default_factory=dict)
    """Ready message of the worker that took it."""
    work: float = field(init=False)

    def __post_init__(self) -> None:
        self.work = work_of(self.job)

    @property
    def flow(self) -> Flow:
        """The flow that it belongs to."""
        return self.priority, self.tenant.name


@dataclass(frozen=True)
class Answer:
    """A worker's answer to one request of a batch.

    ``header`` is the batch's result, ``payload`` this request's pixels, ``share`` its part of the
    pictures and so of the GPU time, ``batch`` the requests that rode together, ``first`` the place
    of its first picture among the batch's.
    """

    header: wire.Header
    payload: bytes | memoryview
    share: float
    batch: int
    first: int = 0

    @property
    def gpu_seconds(self) -> float:
        """The request's own share of the device time."""
        return float(self.header["gpu_seconds"]) * self.share

    @property
    def energy_joules(self) -> float | None:
        """The request's own share of the GPU's energy; None where that is not known."""
        joules = self.header.get("energy_joules")
        return None if joules is None else float(joules) * self.share


@dataclass(frozen=True, eq=False)
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
    def job(self) -> Job:
        """One of its jobs; they share size, steps and guidance."""
        return self.tickets[0].job

    @property
    def work(self) -> float:
        """Megapixel-forwards of the batch."""
        return sum(ticket.work for ticket in self.tickets)

    def wanted(self) -> Batch:
        """Leave out those for whom nobody waits any more."""
        waiting = [ticket for ticket in self.tickets if not ticket.future.done()]
        return Batch(waiting, self.stop_reason)

    def halves(self) -> tuple[Batch, Batch]:
        """Split it in two, for a device that has not the memory for the whole."""
        middle = len(self.tickets) // 2
        return Batch(self.tickets[:middle], self.stop_reason), Batch(
            self.tickets[middle:], self.stop_reason
        )

    def stepped(self, step: int) -> None:
        """Tell those who listen that a step is done."""
        for ticket in self.tickets:
            if ticket.progress and not ticket.future.done():
                ticket.progress(step, ticket.job.steps)

    @property
    def listened_to(self) -> bool:
        """Tell whether anybody wants to hear of its steps."""
        return any(ticket.progress for ticket in self.tickets)
