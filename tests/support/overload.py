"""More requests than a server can take, played in virtual time through the real door and queue."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, cast

from inference.admission import Admission
from inference.engine import Job
from inference.keys import ANYONE, Tenant
from inference.limits import Limits
from inference.pace import Pace
from inference.tickets import Batch, Refused, Ticket
from inference.waiting import WaitingRoom
from lightmeter.catalog import Priority, WorkerState


@dataclass(frozen=True)
class Kind:
    """Requests of one sort: ``rate`` a second; a batch takes ``seconds``, the same however large."""

    rate: float
    seconds: float = 0.1
    images: int = 1
    tenant: Tenant = ANYONE
    priority: Priority = Priority.INTERACTIVE
    return_ratio: float = 1.0
    """Share of its refused clients that come back when told; they do so once."""
    noise: float = 0.1
    """Standard deviation of the batch's time, as a part of it."""


@dataclass
class Seen:
    """What became of one kind."""

    counts: Counter[str] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)
    told: list[float] = field(default_factory=list)

    @property
    def first_retry_ratio(self) -> float:
        """Share of those who came back when told that were let in."""
        back = self.counts["let in at return"], self.counts["refused at return"]
        return back[0] / (sum(back) or 1)


class Crew:
    """Workers that need virtual time."""

    def __init__(self, workers: int, clock: Callable[[], float]) -> None:
        self.pace = Pace()
        self.hands = self.able = workers
        self.ends: dict[int, float] = {}
        """When each running batch is expected to end."""
        self._clock = clock
        self.asleep, self.start_left = False, None

    @property
    def running(self) -> float:
        """Worker seconds that what runs will still take."""
        return sum(max(0.0, end - self._clock()) for end in self.ends.values())

    def count(self, state: WorkerState, /) -> int:
        """Count the workers in one state."""
        return self.able if state is WorkerState.READY else 0


class Play:
    """A server under an open-loop load: `run` it, then look at ``seen``, ``busy`` and ``longest``."""

    def __init__(
        self, kinds: list[Kind], limits: Limits, *, workers: int = 1, seed: int = 0
    ) -> None:
        self.now = self.busy = 0.0
        """Seconds; worker seconds."""
        self.longest = 0
        """Most requests that waited at once."""
        self.seen = [Seen() for _ in kinds]
        self.limits = limits
        self.room = WaitingRoom(limits, 0.1)
        self.crew = Crew(workers, lambda: self.now)
        self.door = Admission(limits, self.room, self.crew, clock=lambda: self.now)
        self._kinds = kinds
        self._chance = random.Random(seed)
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = itertools.count()
        self._running = 0
        self._of: dict[Ticket, int] = {}

    def run(self, seconds: float) -> None:
        """Let requests arrive for so long; then nothing more, until all is done."""
        for index, kind in enumerate(self._kinds):
            at = self._chance.expovariate(kind.rate) if kind.rate else seconds
            while at < seconds:
                self._later(at, self._arrive, index, self._chance.randbytes(8))
                at += self._chance.expovariate(kind.rate)
        while self._events:
            self.now, _, action, arguments = heapq.heappop(self._events)
            action(*arguments)
            self._start()

    def _later(self, at: float, action: Callable[..., None], *arguments: Any) -> None:
        heapq.heappush(self._events, (at, next(self._order), action, arguments))

    def _arrive(self, index: int, mark: bytes, again: str = "") -> None:
        ticket = _ticket(self._kinds[index], index, self.now, mark)
        self._of[ticket] = index
        try:
            yields = self.door.admit(ticket)
        except Refused as refusal:
            self.seen[index].counts["refused" + again] += 1
            if not again:
                self._go(index, mark, refusal.retry_after)
            return
        if yields:
            self.room.drop(yields)
            self.seen[self._of[yields]].counts["pushed out"] += 1
            self.door.refuse(yields)
        self.room.put(ticket)
        self.longest = max(self.longest, len(self.room))
        self.seen[index].counts["let in" + again] += 1

    def _go(self, index: int, mark: bytes, wait: float) -> None:
        self.seen[index].told.append(wait)
        if self._chance.random() < self._kinds[index].return_ratio:
            self._later(self.now + wait, self._arrive, index, mark, " at return")

    def _start(self) -> None:
        while self._running < self.crew.able:
            batch = self.room.take_now(lambda _: self.limits.batch, self.now)
            if batch is None:
                return
            self._running += 1
            for ticket in batch.tickets:
                self.seen[self._of[ticket]].waits.append(self.now - ticket.arrived)
            kind = self._kinds[self._of[batch.tickets[0]]]
            seconds = kind.seconds * max(0.1, self._chance.gauss(1, kind.noise))
            self.crew.ends[id(batch)] = self.now + sum(map(self.crew.pace.predict, batch.tickets))
            self._later(self.now + seconds, self._end, batch, seconds)

    def _end(self, batch: Batch, seconds: float) -> None:
        self._running -= 1
        self.busy += seconds
        del self.crew.ends[id(batch)]
        self.crew.pace.saw(batch, seconds)
        self.room.done(batch)


def _ticket(kind: Kind, index: int, now: float, mark: bytes) -> Ticket:
    job = Job(
        prompt="", negative_prompt=None, width=1000, height=1000, images=kind.images, steps=round(100 * kind.seconds), guidance=float(index), seed=0
    )  # fmt: skip
    future = cast("Any", Future())
    return Ticket(job, kind.priority, now, future, tenant=kind.tenant, mark=mark)
