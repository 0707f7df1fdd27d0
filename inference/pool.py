"""The workers of this server: how many, how able, how evenly busy."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable

from inference.balance import balance_ratio
from inference.engine import Job
from inference.keeper import Worker
from inference.making import Shared
from inference.memory import Shape
from inference.pace import Pace
from lightmeter.catalog import WorkerState


MOST_WORKERS = 64


class Pool:
    """All workers. `start` starts those that the settings ask for; more can come and go later."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._tasks: dict[Worker, asyncio.Task[None]] = {}
        self._emptied: Callable[[], None] = lambda: None

    def when_empty(self, emptied: Callable[[], None]) -> None:
        """Have somebody told when the last worker has gone."""
        self._emptied = emptied

    @property
    def workers(self) -> list[Worker]:
        """The workers there are."""
        return list(self._tasks)

    def start(self) -> None:
        """Start every worker in the background."""
        for _ in range(self._shared.settings.workers):
            self.add()
        self._shared.asleep = not self._shared.settings.workers

    def add(self) -> Worker:
        """Start one more worker; it takes the first index that is free."""
        self._shared.asleep = self.asleep
        taken = {worker.index for worker in self._tasks}
        worker = Worker(next(i for i in itertools.count() if i not in taken), self._shared)
        task = self._tasks[worker] = asyncio.create_task(worker.live())
        task.add_done_callback(lambda _: self._gone(worker))
        return worker

    def _gone(self, worker: Worker) -> None:
        if worker.leaving:
            self._tasks.pop(worker, None)
            self._shared.places.pop(worker.id, None)
            self._shared.queue.nudge()
            if not self._tasks:
                self._emptied()

    def find(self, name: str) -> Worker | None:
        """Find a worker by its id."""
        return next((worker for worker in self._tasks if worker.id == name), None)

    async def stop(self) -> None:
        """End every worker; what it was doing is lost, so let the queue run dry first."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def count(self, state: WorkerState) -> int:
        """Count the workers in one state."""
        return sum(worker.state is state for worker in list(self._tasks))

    @property
    def able(self) -> int:
        """Workers that serve or could serve right now."""
        return self.count(WorkerState.READY) + self.count(WorkerState.BUSY)

    @property
    def asleep(self) -> bool:
        """Whether it was emptied on purpose, and nobody serves since."""
        emptied = all(worker.leaving for worker in self._tasks)
        return not self.able and (self._shared.asleep or emptied)

    @property
    def start_left(self) -> float | None:
        """Seconds until somebody serves; None where nobody starts, or no start was measured yet."""
        if self.able:
            return 0.0
        left = [worker.start_left for worker in self._tasks if not worker.leaving]
        return min((seconds for seconds in left if seconds is not None), default=None)

    async def loaded(self) -> None:
        """Wait until some worker had the model."""
        await self._shared.ready.wait()

    @property
    def default_side(self) -> int | None:
        """Picture side, in pixels, that the model was made for; None before one was loaded."""
        return self._shared.default_side

    def misfit(self, job: Job) -> str | None:
        """Say why a job's pictures fit no worker's memory, and what would; None where one may fit."""
        memories = [worker.place.memory for worker in self._tasks if worker.place.facts]
        shape = Shape.of(job.width, job.height, job.images, guided=job.guidance > 0)
        known = [memory for memory in memories if memory]
        if not known or len(known) < len(memories) or any(memory.fits(shape) for memory in known):
            return None
        roomiest = max(known, key=lambda memory: memory.total_bytes - memory.base_bytes)
        return roomiest.explain(job.width, job.height, job.images, guided=job.guidance > 0)

    @property
    def pace(self) -> Pace:
        """How long work takes."""
        return self._shared.pace

    @property
    def hands(self) -> int:
        """Workers that may work at the same time; at least 1."""
        return max(1, min(self.able, self._shared.limits.concurrency))

    @property
    def running(self) -> float:
        """Worker seconds that what runs will still take."""
        now = time.monotonic()
        return sum(max(0.0, worker.busy_until - now) for worker in self._tasks)

    @property
    def predicted_wait(self) -> float:
        """Seconds until all that waits now would have started."""
        work = (self.running + self._shared.queue.seconds(self.pace)) / self.hands
        return (self.start_left or 0.0) + work

    def balance(self) -> float:
        """Mean over maximum busy share of the workers in the last five minutes."""
        now = time.monotonic()
        return balance_ratio([w.busy.seconds(now) for w in list(self._tasks) if w.place.facts])
