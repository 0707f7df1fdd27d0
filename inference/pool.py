"""The worker processes: started, fed from the one queue, replaced when they die."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from inference import wire
from inference.engine import Job
from inference.process import WorkerProcess
from inference.waiting import Answer, Batch, Pace, WaitingRoom
from lightmeter.catalog import LoadPhase, WorkerState
from lightmeter.errors import ModelError, WorkerError
from lightmeter.settings import Serve


_log = logging.getLogger(__name__)
_FIRST_BACKOFF, _LAST_BACKOFF = 0.5, 30.0
STUCK_SECONDS = 10.0
"""A worker that is still at a batch so long after everybody's deadline is stuck, and is replaced."""
MOST_LOADS = 4
"""Deaths while loading, with no worker ever ready, after which the server gives up."""
_DEATHS = (EOFError, OSError, WorkerError, ValueError, LookupError, struct.error)
"""What a dead or babbling worker shows itself as."""
MOST_TRIES = 2
"""Workers that a request may lose before it is answered."""


@dataclass(eq=False)
class Worker:
    """One worker process and where it is in its life. ``facts`` is its ready message."""

    index: int
    state: WorkerState = WorkerState.STARTING
    facts: wire.Header = dataclasses.field(default_factory=dict)
    failures: int = 0

    @property
    def name(self) -> str:
        """Name for the log."""
        return f"worker {self.index}"


class Watcher(Protocol):
    """Who counts what the workers go through."""

    def loaded(self, phases: dict[LoadPhase, float]) -> None:
        """Count a cold start, seconds by phase."""
        ...

    def batched(self, batch: Batch) -> None:
        """Count a batch that was handed to a worker."""
        ...

    def computed(self, header: wire.Header, *, wanted: float) -> None:
        """Count what the device did for a batch; a share ``wanted`` of it is still waited for."""
        ...

    def abandoned(self, gpu_seconds: float) -> None:
        """Count device time of a batch that was given up."""
        ...

    def out_of_memory(self, batch: Batch) -> None:
        """Count a batch that did not fit the device."""
        ...


class Pool:
    """All workers of this server."""

    def __init__(self, settings: Serve, queue: WaitingRoom, watcher: Watcher) -> None:
        self._settings = settings
        self._queue = queue
        self._watcher = watcher
        self._caps: dict[tuple[float, ...], int] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self.workers = [Worker(index) for index in range(settings.workers)]
        self.pace = Pace()
        self.fatal: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Gets the `ModelError` when the model cannot be loaded at all."""
        self.ready = asyncio.Event()
        """Set once the first worker is ready."""

    def start(self) -> None:
        """Start every worker in the background."""
        self._tasks = [asyncio.create_task(self._keep(worker)) for worker in self.workers]

    async def stop(self) -> None:
        """End every worker; what it was doing is lost, so let the queue run dry first."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def count(self, state: WorkerState) -> int:
        """Count the workers in one state."""
        return sum(worker.state is state for worker in self.workers)

    @property
    def able(self) -> int:
        """Workers that serve or could serve right now."""
        return self.count(WorkerState.READY) + self.count(WorkerState.BUSY)

    @property
    def default_side(self) -> int | None:
        """Picture side, in pixels, that the model was made for; None while none is loaded."""
        sides = (int(worker.facts["default_side"]) for worker in self.workers if worker.facts)
        return next(sides, None)

    def predicted_wait(self) -> float:
        """Seconds until a request that arrives now would start."""
        return self.pace.predict(self._queue.work) / max(self.able, 1)

    async def _keep(self, worker: Worker) -> None:
        """Run one worker for ever: start, serve, and start again after a death."""
        while True:
            try:
                await self._live(worker)
            except ModelError as error:
                if not self.fatal.done():
                    self.fatal.set_exception(error)
                return
            except _DEATHS as error:
                reason = str(error) or type(error).__name__
                _log.warning("%s died (%s); it is started again", worker.name, reason)
            finally:
                worker.state = WorkerState.DEAD
            worker.failures += 1
            if worker.failures >= MOST_LOADS and not self.ready.is_set() and not self.fatal.done():
                self.fatal.set_exception(WorkerError("the worker died at every load; see the log"))
                return
            await asyncio.sleep(min(_FIRST_BACKOFF * 2 ** (worker.failures - 1), _LAST_BACKOFF))

    async def _live(self, worker: Worker) -> None:
        worker.state = WorkerState.STARTING
        began = time.monotonic()
        process = await WorkerProcess.start(self._settings, worker.index)
        try:
            async with asyncio.timeout(self._settings.start_timeout):
                facts, _ = await process.receive()
            if facts["kind"] != "ready":
                raise self._blame(facts["error"])
            self._welcome(worker, facts, time.monotonic() - began)
            while True:
                worker.state = WorkerState.READY
                batch = await self._next_batch(process)
                worker.state = WorkerState.BUSY
                for ticket in batch.tickets:
                    ticket.worker = facts
                self._watcher.batched(batch)
                await self._run(batch, process)
                worker.failures = 0
        finally:
            await process.end()

    def _welcome(self, worker: Worker, facts: wire.Header, seconds: float) -> None:
        worker.facts = facts
        self.ready.set()
        self._watcher.loaded({LoadPhase(phase): spent for phase, spent in facts["phases"].items()})
        place = facts["gpu_name"] or facts["device"]
        _log.info("%s is ready on %s after %.1f s", worker.name, place, seconds)

    def _blame(self, reason: str) -> Exception:
        """Blame the model where no worker ever got ready; afterwards, the process."""
        if self.ready.is_set():
            return WorkerError(reason)
        return ModelError(
            f"model {self._settings.model!r} cannot be loaded: {reason}; give a folder saved with save_pretrained, an id in the local hub cache, or 'tiny'"
        )

    async def _next_batch(self, process: WorkerProcess) -> Batch:
        """Wait for work, or for the idle process to die: then the work stays in the queue.

        Raises:
            EOFError: the process died.
        """
        taking = asyncio.ensure_future(self._queue.take(self._most))
        dying = asyncio.ensure_future(process.death())
        try:
            await asyncio.wait({taking, dying}, return_when=asyncio.FIRST_COMPLETED)
            if not dying.done():
                return taking.result()
            if taking.done():
                self._give_back(taking.result())
            raise EOFError("it ended while idle")
        finally:
            taking.cancel()
            dying.cancel()

    def _most(self, job: Job) -> int:
        """Pictures that may ride together in this shape: the setting, less what ran out of memory."""
        return self._caps.get(job.batch_key, self._settings.batch)

    def _give_back(self, batch: Batch) -> None:
        for ticket in batch.tickets:
            ticket.started = None
            self._queue.put(ticket)

    async def _run(self, batch: Batch, process: WorkerProcess) -> None:
        """Have a batch made and its requests answered; on a full memory, again in halves."""
        pending = [batch]
        try:
            while pending:
                pending = await self._attempt(pending[0], process) + pending[1:]
        except _DEATHS:
            for left in pending:
                self._lost(left)
            raise

    async def _attempt(self, batch: Batch, process: WorkerProcess) -> list[Batch]:
        """Make a batch once; return what is still to be made, nothing if it was answered."""
        if not batch.wanted_share:
            return []
        began = time.monotonic()
        async with asyncio.timeout(self._settings.deadline + STUCK_SECONDS):
            with _give_up_when_unwanted(batch, process):
                header, payload = await process.make([ticket.job for ticket in batch.tickets])
        if header["kind"] == "stopped":
            self._watcher.abandoned(header["gpu_seconds"])
            return []
        if header["kind"] == "oom":
            self._watcher.out_of_memory(batch)
            self._caps[batch.key] = max(1, batch.images // 2)
            if len(batch.tickets) > 1:
                return list(batch.halves())
        if header["kind"] == "result":
            self._watcher.computed(header, wanted=batch.wanted_share)
            self.pace.saw(batch.work, time.monotonic() - began)
        _answer(batch, header, payload)
        return []

    def _lost(self, batch: Batch) -> None:
        """Queue the requests of a dead worker once more; those that lost two are answered."""
        for ticket in batch.tickets:
            ticket.tries += 1
            if ticket.future.done():
                continue
            if ticket.tries < MOST_TRIES:
                self._give_back(Batch([ticket], batch.stop_reason))
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
    size, begin = len(payload) // max(batch.images, 1), 0
    for ticket in batch.tickets:
        images = ticket.job.images
        end = begin + images * size
        share = images / batch.images
        answer = Answer(header, payload[begin:end], share, len(batch.tickets))
        if not ticket.future.done():
            ticket.future.set_result(answer)
        begin = end
