"""Sends the requests: when they are due (open loop), or as clients become free (closed loop)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from inference.load.arrivals import Part, Window
from inference.load.asks import Ask
from inference.load.client import NO_ANSWER, Answer, Client
from inference.load.facts import Facts, read


PAUSE_SECONDS = 0.1
"""A client of the closed loop rests so long after a failure to connect, rather than spin."""


class End(StrEnum):
    """What became of a request."""

    OK = "ok"
    FAILED = "failed"
    UNSENT = "unsent"
    """All connections were busy when it was due."""
    ABANDONED = "abandoned"
    """The run was stopped before its answer came."""


@dataclass(slots=True, kw_only=True)
class Done:
    """One request as the client saw it; times are seconds after the start of the run."""

    ask: Ask
    warmup: bool
    due: float
    sent: float
    """When it really left; later than due where this machine was busy."""
    ended: float = 0.0
    end: End = End.ABANDONED
    status: int | None = None
    """HTTP status of the last answer, 0 where none came, None where none was waited for."""
    problem: str | None = None
    first_status: int | None = None
    """Of a request that was sent twice: the status that refused it."""
    retry_after: float | None = None
    """Seconds that the first answer asked to wait."""
    bytes: int = 0
    facts: Facts = field(default_factory=Facts)

    def settle(self, answer: Answer) -> None:
        """Take the last answer in."""
        self.status, self.problem, self.bytes = answer.status, answer.problem, len(answer.body)
        self.facts = read(answer.body)
        good = answer.status in range(200, 300)
        if good and not self.facts.pictures:
            self.problem = "no picture in the answer"
        self.end = End.OK if good and self.facts.pictures else End.FAILED


class Drive:
    """One run: where the requests go, which of them count, and who is told of each that ended."""

    def __init__(
        self,
        client: Client,
        window: Window,
        record: Callable[[Done], None],
        *,
        stop: asyncio.Event,
        retry: bool = False,
        patience_seconds: float = 0.0,
    ) -> None:
        """Start the clock. ``stop`` ends the run early.

        ``retry`` sends a refused request once more, after the seconds that Retry-After asks for.
        After ``stop`` requests that are out are waited for as long as ``patience_seconds``.
        """
        self._client = client
        self._stop = stop
        self._window = window
        self._record = record
        self._retry = retry
        self._patience = patience_seconds
        self._out: set[asyncio.Task[object]] = set()
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()

    @property
    def now(self) -> float:
        """Seconds since the start."""
        return self._loop.time() - self._began

    async def closed_loop(self, asks: Iterable[Ask], clients: int) -> None:
        """Let so many clients ask, each again as soon as it is answered."""
        queue = iter(asks)
        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                self._start(group, self._ask_again(queue))
            await self._ended()

    async def _ask_again(self, queue: Iterator[Ask]) -> None:
        for ask in queue:
            due = self.now
            part = self._window.admit(due)
            if part is Part.OVER or self._stop.is_set():
                return
            done = await self._one(ask, due, part)
            if done.status == NO_ANSWER:
                await asyncio.sleep(PAUSE_SECONDS)

    async def open_loop(self, asks: Iterable[Ask], connections: int) -> None:
        """Send each request when it is due, whatever became of those before.

        At most ``connections`` are under way; a request that is due beyond that is not sent.
        """
        async with asyncio.TaskGroup() as group:
            for ask in asks:
                part = self._window.admit(ask.at)
                if part is Part.OVER or await self._stopped(ask.at - self.now):
                    break
                if self._client.open < connections:
                    self._start(group, self._one(ask, ask.at, part))
                else:
                    self._unsent(ask, part)
            await self._ended()

    def _unsent(self, ask: Ask, part: Part) -> None:
        now = self.now
        done = Done(ask=ask, warmup=part is Part.WARMUP, due=ask.at, sent=now, ended=now)
        done.end = End.UNSENT
        self._record(done)

    async def _one(self, ask: Ask, due: float, part: Part) -> Done:
        done = Done(ask=ask, warmup=part is Part.WARMUP, due=due, sent=self.now)
        try:
            answer = await self._client.make(ask.body)
            done.retry_after = answer.retry_after
            if self._retry and self._worth_it(answer):
                done.first_status = answer.status
                await asyncio.sleep(answer.retry_after or 0.0)
                answer = await self._client.make(ask.body)
            done.ended = self.now
            done.settle(answer)
        finally:
            done.ended = done.ended or self.now
            self._record(done)
        return done

    def _worth_it(self, answer: Answer) -> bool:
        """Whether a refused request may come again within the time that it may take."""
        wait = answer.retry_after
        refused = answer.status in range(400, 600)
        return refused and wait is not None and wait <= self._client.timeout_seconds

    def _start(self, group: asyncio.TaskGroup, work: Coroutine[None, None, object]) -> None:
        task = group.create_task(work)
        self._out.add(task)
        task.add_done_callback(self._out.discard)

    async def _stopped(self, seconds: float) -> bool:
        """Wait so long, or until the run is stopped; tell which."""
        if seconds <= 0:
            await asyncio.sleep(0)  # let those run that are due
        else:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._stop.wait()
        return self._stop.is_set()

    async def _ended(self) -> None:
        """Wait for what is out; once the run is stopped, only as long as there is patience."""
        if self._out:
            stopping = asyncio.create_task(self._stop.wait())
            answered = asyncio.create_task(asyncio.wait(set(self._out)))
            await asyncio.wait({answered, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            answered.cancel()
        if self._out:
            await asyncio.wait(self._out, timeout=self._patience)
        for task in self._out:
            task.cancel()
