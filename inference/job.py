"""One asynchronous request: where it is in its life, and what is told of it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class State(StrEnum):
    """Where a job is in its life."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


UNFINISHED = (State.QUEUED, State.RUNNING)


@dataclass(frozen=True)
class Problem:
    """How an error is answered: status code, OpenAI-shaped error object, ``Retry-After``."""

    status: int
    error: dict[str, Any]
    retry_after: str | None = None


@dataclass(eq=False)
class Job:
    """One job. Times are seconds: ``created`` and ``finished`` since 1970, the rest monotonic."""

    id: str
    owner: str | None
    created: float
    state: State = State.QUEUED
    step: int = 0
    steps: int | None = None
    starts: float | None = None
    """When it was predicted to start."""
    finished: float | None = None
    ended: float = 0.0
    """The same moment on the clock that nobody sets: what a job's age is counted from."""
    result: bytes | None = None
    problem: Problem | None = None
    taken: asyncio.Event = field(default_factory=asyncio.Event)
    making: asyncio.Future[bytes] | None = None
    """Makes the answer; cancelling it ends the job. None once that is over."""
    task: asyncio.Task[None] | None = None
    """Waits for the answer and keeps it."""

    def accepted(self, predicted_wait: float) -> None:
        """Hear that the request is in the queue, with the predicted seconds until it starts."""
        self.starts = time.monotonic() + predicted_wait
        self.taken.set()

    def progress(self, step: int, steps: int) -> None:
        """Hear that so many of the steps are done."""
        self.taken.set()
        if self.state in UNFINISHED:
            self.state, self.step, self.steps = State.RUNNING, step, steps

    @property
    def predicted_wait(self) -> float:
        """Seconds until it starts, as far as anybody knows."""
        return max(0.0, (self.starts or 0.0) - time.monotonic())

    def facts(self) -> dict[str, Any]:
        """Say how it is, without its result."""
        facts: dict[str, Any] = {
            "id": self.id,
            "object": "job",
            "status": self.state,
            "created": int(self.created),
        }
        if self.state is State.QUEUED:
            facts["predicted_wait_seconds"] = self.predicted_wait
        if self.steps is not None:
            facts["progress"] = {"step": self.step, "steps": self.steps}
        if self.finished is not None:
            facts["finished"] = int(self.finished)
        if self.problem is not None:
            facts |= {"status_code": self.problem.status, "error": self.problem.error}
            if self.problem.retry_after is not None:
                facts["retry_after"] = int(self.problem.retry_after)
        return facts
