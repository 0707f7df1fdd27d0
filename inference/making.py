"""A batch on its way through one worker: made, halved where it does not fit, made again elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Protocol, Self

from inference import wire
from inference.energy import EnergyMeter
from inference.engine import Job
from inference.limits import Limits
from inference.memory import MemoryModel, Shape
from inference.pace import Pace
from inference.process import WorkerProcess
from inference.starts import Starts
from inference.tickets import Answer, Batch
from inference.tuning import Observed
from inference.waiting import WaitingRoom
from lightmeter.catalog import LoadPhase, Stage
from lightmeter.errors import WorkerError
from lightmeter.settings import Serve


STUCK_SECONDS = 10.0
"""A worker that is still at a batch so long after everybody's deadline is stuck, and is replaced."""
MOST_TRIES = 2
"""Workers that a request may lose before it is answered."""
DEATHS = (EOFError, OSError, WorkerError, LookupError)
"""What a dead worker, or one that talks nonsense, shows itself as."""


class Watcher(Protocol):
    """Who counts what the workers go through."""

    def loaded(self, phases: dict[LoadPhase, float]) -> None:
        """Count a cold start, seconds by phase."""
        ...

    def batched(self, batch: Batch) -> None:
        """Count a batch that was handed to a worker."""
        ...

    def computed(self, header: wire.Header, worker: wire.Header, *, wanted: float) -> None:
        """Count what the device did for a batch; a share ``wanted`` of it is still waited for."""
        ...

    def abandoned(self, gpu_seconds: float) -> None:
        """Count device time of a batch that was given up."""
        ...

    def drew(self, joules: float) -> None:
        """Count energy that a GPU drew for a batch, where it is known."""
        ...

    def out_of_memory(self, batch: Batch) -> None:
        """Count a batch that did not fit the device."""
        ...


@dataclass
class Shared:
    """What all workers of a server have in common."""

    settings: Serve
    queue: WaitingRoom
    limits: Limits
    watcher: Watcher
    pace: Pace = field(default_factory=Pace)
    observed: Observed = field(default_factory=Observed)
    energy: EnergyMeter = field(default_factory=EnergyMeter)
    caps: dict[Hashable, int] = field(default_factory=dict)
    """Most pictures in a batch, for shapes that ran out of a memory of which there is no model."""
    starts: Starts = field(default_factory=Starts)
    asleep: bool = False
    """Whether nobody has served since the pool was emptied on purpose."""
    default_side: int | None = None
    """Picture side, in pixels, that the model was made for; known from the first worker on."""
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the first worker is ready."""
    places: dict[str, Place] = field(default_factory=dict)
    """Where the workers work, by id."""
    refused: dict[str, Exception] = field(default_factory=dict)
    """Workers, by id, that could not load the model, and why."""
    fatal: asyncio.Future[None] = field(default_factory=asyncio.Future)
    """Gets the error when the model cannot be loaded at all."""


@dataclass(frozen=True)
class Place:
    """Where a worker works: its ready message, and what its device's memory holds, if it has one."""

    facts: wire.Header
    memory: MemoryModel | None

    @classmethod
    def of(cls, facts: wire.Header) -> Self:
        """Describe it from the ready message."""
        return cls(facts, MemoryModel.of(facts))

    def holds(self, shape: Shape) -> bool:
        """Tell whether a batch fits, as far as is known."""
        return self.memory is None or self.memory.fits(shape)

    def leaves(self, shape: Shape, shared: Shared) -> bool:
        """Tell whether a batch is better left to another worker, whose device has more room."""
        return not self.holds(shape) and any(place.holds(shape) for place in shared.places.values())

    def most(self, job: Job, shared: Shared) -> int:
        """Pictures that may ride together in this shape: the limit, less what memory does not hold.

        0 where not even the job alone fits here, and it does elsewhere.
        """
        if self.leaves(_shape_of(job, job.images), shared):
            return 0
        most = min(shared.limits.batch, shared.caps.get(job.batch_key, shared.limits.batch))
        if self.memory is None:
            return most
        fit = self.memory.most_images(job.width, job.height, guided=job.guidance > 0)
        return max(1, min(most, fit))

    def saw(self, batch: Batch, header: wire.Header) -> None:
        """Learn from a result."""
        if self.memory and header["peak_vram_bytes"] is not None:
            self.memory.saw(_shape(batch), header["peak_vram_bytes"])

    def ran_out(self, batch: Batch, caps: dict[Hashable, int]) -> None:
        """Learn from a batch that did not fit; where there is no model, by a cap on its shape."""
        if self.memory:
            self.memory.ran_out(_shape(batch))
        else:
            caps[batch.job.batch_key] = max(1, batch.images // 2)


def _shape(batch: Batch) -> Shape:
    return _shape_of(batch.job, batch.images)


def _shape_of(job: Job, images: int) -> Shape:
    return Shape.of(job.width, job.height, images, guided=job.guidance > 0)


async def make(batch: Batch, process: WorkerProcess, shared: Shared, place: Place) -> None:
    """Have a batch made and its requests answered; on a full memory, again in halves.

    Raises:
        EOFError, OSError, WorkerError, LookupError: the worker died; its requests are queued again,
        as they are after any other error.
    """
    for ticket in batch.tickets:
        ticket.worker = place.facts
        ticket.alone = shared.observed.alone(ticket.job)
    shared.watcher.batched(batch)
    pending = [batch]
    try:
        while pending:
            pending = await _attempt(pending[0], process, shared, place) + pending[1:]
    except Exception:
        for left in pending:
            _lost(left, shared.queue)
        raise


async def _attempt(
    batch: Batch, process: WorkerProcess, shared: Shared, place: Place
) -> list[Batch]:
    """Make a batch once; return what is still to be made, nothing if it was answered."""
    batch = batch.wanted()
    if not batch.tickets:
        return []
    began = time.monotonic()
    for ticket in batch.tickets:
        ticket.attempted = began
    with (
        _give_up_when_unwanted(batch, process),
        shared.energy.drawing(place.facts["gpu_uuid"]) as draw,
    ):
        header, payload = await _made(batch, process, shared.settings.deadline + STUCK_SECONDS)
    if draw.joules is not None:
        header["energy_joules"] = draw.joules
        shared.watcher.drew(draw.joules)
    if header["kind"] == "stopped":
        shared.watcher.abandoned(header["gpu_seconds"])
        return []
    if header["kind"] == "oom":
        shared.watcher.out_of_memory(batch)
        place.ran_out(batch, shared.caps)
        if len(batch.tickets) > 1:
            return list(batch.halves())
        if place.leaves(_shape(batch), shared):
            give_back(batch, shared.queue)
            return []
    if header["kind"] == "result":
        header["stages"] = {Stage(name): spent for name, spent in header["stages"].items()}
        shared.watcher.computed(header, place.facts, wanted=batch.wanted_share)
        place.saw(batch, header)
        shared.pace.saw(batch, time.monotonic() - began)
        shared.observed.saw(batch, time.monotonic() - began)
    _answer(batch, header, payload)
    return []


async def _made(
    batch: Batch, process: WorkerProcess, most_seconds: float
) -> tuple[wire.Header, bytes]:
    """Have the process make a batch.

    Raises:
        EOFError, OSError: it died. WorkerError: it is stuck.
    """
    jobs = [ticket.job for ticket in batch.tickets]
    try:
        async with asyncio.timeout(most_seconds):
            return await process.make(jobs, batch.stepped if batch.listened_to else None)
    except TimeoutError as error:
        raise WorkerError(f"it was stuck: no batch in {most_seconds:g} s") from error


def give_back(batch: Batch, queue: WaitingRoom) -> None:
    """Queue requests again whose batch was not made."""
    for ticket in batch.tickets:
        ticket.started = None
        queue.put(ticket)


def _lost(batch: Batch, queue: WaitingRoom) -> None:
    """Queue the requests of a dead worker once more; those that lost two are answered."""
    for ticket in batch.tickets:
        ticket.tries += 1
        if ticket.future.done():
            continue
        if ticket.tries < MOST_TRIES:
            give_back(Batch([ticket], batch.stop_reason), queue)
        else:
            ticket.future.set_exception(
                WorkerError("the worker died twice while it made this picture; try again")
            )


@contextlib.contextmanager
def _give_up_when_unwanted(batch: Batch, process: WorkerProcess) -> Iterator[None]:
    """While a batch runs, end it as soon as the last of its clients has gone."""
    number = process.upcoming

    def one_gone(_: object) -> None:
        if not batch.wanted_share:
            process.give_up(number)

    for ticket in batch.tickets:
        ticket.future.add_done_callback(one_gone)
    try:
        yield
    finally:
        for ticket in batch.tickets:
            ticket.future.remove_done_callback(one_gone)


def _answer(batch: Batch, header: wire.Header, payload: bytes) -> None:
    """Give each request its pixels and its share of the batch."""
    view, first = memoryview(payload), 0
    size = len(payload) // max(batch.images, 1)
    for ticket in batch.tickets:
        images = ticket.job.images
        pixels = view[first * size : (first + images) * size]
        share = images / batch.images
        answer = Answer(header, pixels, share, len(batch.tickets), first)
        if not ticket.future.done():
            ticket.future.set_result(answer)
        first += images
