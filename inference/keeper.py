"""One worker's life: started, fed from the queue, watched, and replaced when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time

from inference import wire
from inference.balance import BusyLog
from inference.making import DEATHS, Place, Shared, give_back, make
from inference.process import WorkerProcess
from inference.tickets import Batch
from lightmeter.catalog import LoadPhase, WorkerState
from lightmeter.errors import ModelError, WorkerError


_log = logging.getLogger(__name__)
_FIRST_BACKOFF, _LAST_BACKOFF = 0.5, 30.0
MOST_LOADS = 4
"""Deaths while loading, with no worker ever ready, after which the server gives a worker up."""
_NO_ROOM = "OutOfMemory"
"""How an engine's want of memory begins, and torch's."""
_ids = itertools.count()


class Worker:
    """One worker and where it is in its life. ``place`` is where it works."""

    def __init__(self, index: int, shared: Shared) -> None:
        self.id = f"w{next(_ids)}"
        self.index = index
        self.state = WorkerState.STARTING
        self.place = Place({}, None)
        self.since = time.monotonic()
        self.deaths = 0
        self.batches = 0
        self.busy_until = 0.0
        """When the running batch is expected to end, `time.monotonic` seconds."""
        self.busy = BusyLog()
        self.pid: int | None = None
        self._shared = shared
        self._failures = 0
        self._leaving = asyncio.Event()

    @property
    def leaving(self) -> bool:
        """Whether it was told to end and not to come back."""
        return self._leaving.is_set()

    @property
    def start_left(self) -> float | None:
        """Seconds that its start will still take; None where it does not start, or none was measured."""
        if self.state is not WorkerState.STARTING:
            return None
        return self._shared.starts.left(time.monotonic() - self.since)

    def leave(self) -> None:
        """End after the batch that runs; the worker is not replaced."""
        self._leaving.set()
        self._enter(WorkerState.DRAINING)

    async def live(self) -> None:
        """Start, serve, and start again after a death, until it is told to leave."""
        while not self._leaving.is_set():
            try:
                await self._serve()
            except Exception as error:  # noqa: BLE001  (nobody above it: without a keeper, no worker)
                if self._hopeless(error):
                    return
                reason = str(error) or type(error).__name__
                trace = None if isinstance(error, (*DEATHS, ModelError)) else error
                _log.warning(
                    "worker %s died (%s); it is started again", self.id, reason, exc_info=trace
                )
                self.deaths += 1
                await self._recover()
            finally:
                self._enter(WorkerState.DEAD)
                self.pid = None

    def _enter(self, state: WorkerState) -> None:
        if self._leaving.is_set() and state not in (WorkerState.DRAINING, WorkerState.DEAD):
            return
        self.state, self.since = state, time.monotonic()

    def _hopeless(self, error: Exception) -> bool:
        """Tell whether no worker will ever have the model; then the server ends with the error."""
        shared = self._shared
        self._failures += 1
        if shared.ready.is_set():
            return False
        if isinstance(error, ModelError):
            shared.refused[self.id] = error
        elif self._failures >= MOST_LOADS:
            shared.refused[self.id] = WorkerError("the worker died at every load; see the log")
        if len(shared.refused) < max(1, shared.settings.workers):
            return False
        if not shared.fatal.done():
            shared.fatal.set_exception(next(iter(shared.refused.values())))
        return True

    async def _recover(self) -> None:
        """Wait before the next start, longer each time."""
        self._enter(WorkerState.DEAD)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._leaving.wait(), backoff(self._failures))

    async def _serve(self) -> None:
        self._enter(WorkerState.STARTING)
        began = time.monotonic()
        process = await WorkerProcess.start(self._shared.settings, self.index)
        self.pid = process.pid
        watching = asyncio.create_task(_watch(process, self._shared.settings.silence))
        try:
            facts = await self._ready(process)
            if facts is None:
                return
            if facts["kind"] != "ready":
                raise self._blame(facts["error"])
            self._welcome(facts, time.monotonic() - began)
            while not self._leaving.is_set():
                self._enter(WorkerState.READY)
                batch = await self._next_batch(process)
                if batch:
                    await self._do(batch, process)
        finally:
            watching.cancel()
            await process.end()

    async def _ready(self, process: WorkerProcess) -> wire.Header | None:
        """Wait for the model to be loaded; None where the worker is told to leave meanwhile.

        Raises:
            EOFError: the process died. WorkerError: it takes too long.
        """
        most = self._shared.settings.start_timeout
        loading = asyncio.ensure_future(process.receive())
        leaving = asyncio.ensure_future(self._leaving.wait())
        try:
            await asyncio.wait(
                [loading, leaving], timeout=most, return_when=asyncio.FIRST_COMPLETED
            )
            if not (loading.done() or leaving.done()):
                raise WorkerError(f"it was not ready within {most:g} s")
            return loading.result()[0] if loading.done() else None
        finally:
            loading.cancel()
            leaving.cancel()

    def _welcome(self, facts: wire.Header, seconds: float) -> None:
        self.place = self._shared.places[self.id] = Place.of(facts)
        self._shared.default_side = int(facts["default_side"])
        self._shared.ready.set()
        self._shared.asleep = False
        self._shared.starts.saw(seconds)
        phases = {LoadPhase(phase): spent for phase, spent in facts["phases"].items()}
        self._shared.watcher.loaded(phases)
        place = facts["gpu_name"] or facts["device"]
        _log.info("worker %s is ready on %s after %.1f s", self.id, place, seconds)

    def _blame(self, reason: str) -> Exception:
        """Blame the model where no worker ever got ready; afterwards, the process."""
        if self._shared.ready.is_set():
            return WorkerError(reason)
        return ModelError(f"model {self._shared.settings.model!r} cannot be loaded: {reason}; {_advice(reason)}")  # fmt: skip

    async def _next_batch(self, process: WorkerProcess) -> Batch | None:
        """Wait for work; or for the word to leave; or for the idle process to die.

        Raises:
            EOFError: the process died; the work stays in the queue.
        """
        queue = self._shared.queue
        taking = asyncio.ensure_future(queue.take(lambda job: self.place.most(job, self._shared)))
        others = [
            asyncio.ensure_future(process.death()),
            asyncio.ensure_future(self._leaving.wait()),
        ]
        try:
            await asyncio.wait([taking, *others], return_when=asyncio.FIRST_COMPLETED)
            if not any(other.done() for other in others):
                return taking.result()
            if taking.done():
                give_back(taking.result(), queue)
                queue.done(taking.result())
            if others[0].done():
                raise EOFError(process.why or "it ended while idle")
            return None
        finally:
            for waiting in (taking, *others):
                waiting.cancel()

    async def _do(self, batch: Batch, process: WorkerProcess) -> None:
        """Have a batch made, and keep the books of the time that it takes."""
        self._enter(WorkerState.BUSY)
        began = time.monotonic()
        self.batches += 1
        self.busy_until = began + sum(map(self._shared.pace.predict, batch.tickets))
        try:
            await make(batch, process, self._shared, self.place)
            self._failures = 0
        finally:
            self.busy_until = 0.0
            self.busy.add(began, time.monotonic())
            self._shared.queue.done(batch)

    def describe(self) -> dict[str, object]:
        """Tell what an operator wants to know; durations in seconds."""
        return {
            "id": self.id,
            "state": self.state.value,
            "state_seconds": time.monotonic() - self.since,
            "start_seconds_left": self.start_left,
            "pid": self.pid,
            "index": self.index,
            "batches": self.batches,
            "deaths": self.deaths,
            **{name: self.place.facts.get(name) for name in ("device", "gpu_name", "gpu_uuid")},
        }


def backoff(failures: int) -> float:
    """Seconds to wait after so many failures in a row: half a second, then twice that, up to 30 s."""
    doublings = min(failures - 1, 10)  # a worker may fail all night, and a float has its limits
    return min(_FIRST_BACKOFF * 2.0**doublings, _LAST_BACKOFF)


async def _watch(process: WorkerProcess, silence: float) -> None:
    """Kill a process that has not been heard of for ``silence`` seconds."""
    last = time.monotonic()
    while True:
        await asyncio.sleep(silence / 4)
        slept, last = time.monotonic() - last, time.monotonic()
        if slept < silence / 2 and last - process.heard > silence:  # else we ourselves were held up
            process.kill(f"it was silent for {silence:g} s")


def _advice(reason: str) -> str:
    """Say what may help a model that cannot be loaded."""
    if reason.startswith(_NO_ROOM):
        return "try --offload, smaller --warmup-shapes, a larger --vram-cap or a larger GPU"
    if reason.startswith("ModuleNotFoundError"):
        return "the environment is not whole: make env"
    return "give a folder saved with save_pretrained, an id in the local hub cache, or 'tiny'"
