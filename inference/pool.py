"""The worker processes: started, fed from the one queue, replaced when they die."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import logging
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from inference import wire
from inference.waiting import Pace, Ticket, WaitingRoom
from inference.worker import Spec
from lightmeter.catalog import LoadPhase, WorkerState
from lightmeter.errors import ModelError, WorkerError
from lightmeter.settings import Serve


_log = logging.getLogger(__name__)
_FIRST_BACKOFF, _LAST_BACKOFF = 0.5, 30.0
_STREAM_LIMIT = 64 * 1024 * 1024


@dataclass(eq=False)
class Worker:
    """One worker process and where it is in its life. ``facts`` is its ready message."""

    index: int
    state: WorkerState = WorkerState.STARTING
    process: asyncio.subprocess.Process | None = None
    facts: wire.Header = dataclasses.field(default_factory=dict)
    failures: int = 0

    @property
    def name(self) -> str:
        """Name for the log."""
        return f"worker {self.index}"


class Pool:
    """All workers of this server.

    ``on_load`` is called with the cold-start phases, in seconds, of each worker that gets ready.
    """

    def __init__(
        self, settings: Serve, queue: WaitingRoom, on_load: Callable[[dict[LoadPhase, float]], None]
    ) -> None:
        self._settings = settings
        self._queue = queue
        self._on_load = on_load
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
    def default_side(self) -> int:
        """Picture side, in pixels, that the model was made for; 1024 while none is loaded."""
        sides = (int(worker.facts["default_side"]) for worker in self.workers if worker.facts)
        return next(sides, 1024)

    def predicted_wait(self, work: float = 0.0) -> float:
        """Seconds until a request that arrives now would start, after ``work`` ahead of it."""
        ahead = self._queue.work + work
        return self.pace.predict(ahead) / max(self.able, 1)

    async def _keep(self, worker: Worker) -> None:
        """Run one worker for ever: start, serve, and start again after a death."""
        while True:
            try:
                await self._live(worker)
            except ModelError as error:
                if not self.fatal.done():
                    self.fatal.set_exception(error)
                return
            except (EOFError, OSError, WorkerError) as error:
                _log.warning(
                    "%s died (%s); it is started again",
                    worker.name,
                    str(error) or type(error).__name__,
                )
            finally:
                worker.state = WorkerState.DEAD
                await _end(worker.process)
            worker.failures += 1
            await asyncio.sleep(min(_FIRST_BACKOFF * 2 ** (worker.failures - 1), _LAST_BACKOFF))

    async def _live(self, worker: Worker) -> None:
        worker.state = WorkerState.STARTING
        began = time.monotonic()
        worker.process = process = await self._spawn(worker.index)
        reader, writer = process.stdout, process.stdin
        if reader is None or writer is None:
            raise WorkerError("the worker has no pipes")
        async with asyncio.timeout(self._settings.start_timeout):
            facts, _ = await wire.receive(reader)
        if facts["kind"] != "ready":
            raise self._blame(facts["error"])
        worker.facts = facts
        self.ready.set()
        self._on_load({LoadPhase(phase): seconds for phase, seconds in facts["phases"].items()})
        _log.info(
            "%s is ready on %s after %.1f s",
            worker.name,
            facts["gpu_name"] or facts["device"],
            time.monotonic() - began,
        )
        while True:
            worker.state = WorkerState.READY
            ticket = await self._queue.take()
            ticket.worker = worker.facts
            worker.state = WorkerState.BUSY
            await self._run(ticket, reader, writer)
            worker.failures = 0

    def _blame(self, reason: str) -> Exception:
        """Blame the model where no worker ever got ready; afterwards, the process."""
        if self.ready.is_set():
            return WorkerError(reason)
        return ModelError(
            f"model {self._settings.model!r} cannot be loaded: {reason}; give a folder saved with save_pretrained, an id in the local hub cache, or 'tiny'"
        )

    async def _run(
        self, ticket: Ticket, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        began = time.monotonic()
        try:
            writer.write(wire.pack(dataclasses.asdict(ticket.job)))
            await writer.drain()
            answer = await wire.receive(reader)
        except BaseException:
            if not ticket.future.done():
                ticket.future.set_exception(
                    WorkerError("the worker died while it made this picture; try again")
                )
            raise
        if answer[0]["kind"] == "result":
            self.pace.saw(ticket.work, time.monotonic() - began)
        if not ticket.future.done():
            ticket.future.set_result(answer)

    async def _spawn(self, index: int) -> asyncio.subprocess.Process:
        settings = self._settings
        threads = settings.threads or max(1, ((os.cpu_count() or 1) - 1) // settings.workers)
        spec = Spec(
            model=settings.model,
            tiny=str((settings.data / "models" / "tiny").absolute()),
            device=settings.device,
            index=index,
            threads=threads,
            steps=settings.steps,
        )
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # never import from the folder that the user happens to stand in
            "-m",
            "inference.worker",
            json.dumps(dataclasses.asdict(spec)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_STREAM_LIMIT,
            env=os.environ | _worker_environment(threads),
        )


def _worker_environment(threads: int) -> dict[str, str]:
    """Keep OpenMP from spinning on cores that others need, and libraries from chatting."""
    return {
        "OMP_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "PASSIVE",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }


async def _end(process: asyncio.subprocess.Process | None) -> None:
    if process is None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()
