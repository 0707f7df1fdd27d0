"""The one bounded queue in front of all workers.

Two classes, interactive and batch, and within each the tenants, take turns by the work they have
had (`inference.fairness`). The batch class has a small weight: it yields to interactive requests
but is never starved by them, and no tenant by another.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator

from inference.engine import Job
from inference.fairness import FairLine, Turns
from inference.limits import Limits
from inference.pace import Backlog, Pace
from inference.tickets import Batch, Flow, Refused, Ticket
from lightmeter.catalog import Priority, StopReason


MOST_SCANNED = 512
"""Places of the line that are looked at for riders."""


class WaitingRoom:
    """Bounded queue; `take` waits for the next request and those that can ride with it."""

    def __init__(self, limits: Limits, batch_share: float) -> None:
        self._limits = limits
        self.weights = {Priority.INTERACTIVE: 1.0 - batch_share, Priority.BATCH: batch_share}
        self._lines = {priority: FairLine() for priority in Priority}
        self._turns: Turns[Priority] = Turns()
        self._changed = asyncio.Event()
        self._running: list[Batch] = []

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def __iter__(self) -> Iterator[Ticket]:
        """Yield the waiting requests, the next one first."""
        return itertools.chain.from_iterable(self._lines[priority] for priority in self._order())

    def depth(self, priority: Priority) -> int:
        """Count the waiting requests of one priority."""
        return len(self._lines[priority])

    def put(self, ticket: Ticket) -> None:
        """Queue a request; that it has a place is for `inference.admission` to see."""
        if not self._lines[ticket.priority]:
            self._turns.join(ticket.priority)
        self._lines[ticket.priority].put(ticket)
        self._changed.set()

    def done(self, batch: Batch) -> None:
        """Say that a batch that was taken is made, or is not going to be."""
        self._running.remove(batch)
        self._changed.set()

    def nudge(self) -> None:
        """Look again: the limits have changed."""
        self._changed.set()

    def drop(self, ticket: Ticket) -> None:
        """Take a request out again, if it still waits."""
        self._lines[ticket.priority].drop(ticket)
        self._changed.set()

    def dismiss(self, ticket: Ticket, why: Refused) -> None:
        """Answer a request that it will not be made; if it was being made, for nobody else, that ends."""
        self.drop(ticket)
        if not ticket.future.done():
            ticket.future.set_exception(why)

    @property
    def running(self) -> list[Ticket]:
        """The requests that are being made."""
        return [ticket for batch in self._running for ticket in batch.tickets]

    def greediest(self, newcomer: Ticket) -> Ticket | None:
        """Find the request that must yield so that a newcomer gets its share of a full queue.

        It is the newest one of whoever holds the most places for its weight: first between the
        classes, then between the tenants of one class. None where that is the newcomer's own side,
        or would be with one more.
        """
        mine = self._held(newcomer.priority, 1)
        most = max(Priority, key=self._held)
        if most is not newcomer.priority and self._held(most) > mine:
            return self._lines[most].greediest()
        return self._lines[newcomer.priority].greediest(newcomer.tenant)

    def _held(self, priority: Priority, more: int = 0) -> float:
        return (self.depth(priority) + more) / self.weights[priority]

    def backlogs(self) -> Iterator[tuple[Flow, float, Backlog]]:
        """Yield each flow in which somebody waits, its tenant's weight, and what waits."""
        for priority, line in self._lines.items():
            for name, weight, backlog in line.backlogs:
                yield (priority, name), weight, backlog

    def seconds(self, pace: Pace) -> float:
        """Seconds of one worker that all who wait will take."""
        return sum(backlog.seconds(pace) for _, _, backlog in self.backlogs())

    async def take(self, most: Callable[[Job], int]) -> Batch:
        """Wait for the next request; take it and others like it, up to ``most(job)`` pictures.

        The first in line always goes, so a request in place p is served after at most p batches,
        whoever rides with those before it. Those of which ``most`` is 0 are left to other workers.
        Each batch taken is told of with `done`.
        """
        while not (batch := self.take_now(most, time.monotonic())):
            self._changed.clear()
            await self._changed.wait()
        return batch

    def take_now(self, most: Callable[[Job], int], now: float) -> Batch | None:
        """Do as `take`, without waiting; None where nobody waits or nobody may work."""
        if not len(self) or len(self._running) >= self._limits.concurrency:
            return None
        batch = self._gather(most)
        if batch is None:
            return None
        self._running.append(batch)
        for ticket in batch.tickets:
            ticket.started = now
        return batch

    def _order(self) -> list[Priority]:
        """Classes in which somebody waits, the one whose turn it is first."""
        waiting = [priority for priority in Priority if self._lines[priority]]
        return sorted(waiting, key=self._turns.tag)

    def _gather(self, most: Callable[[Job], int]) -> Batch | None:
        line = itertools.islice(self, MOST_SCANNED)
        head, room = next(((one, room) for one in line if (room := most(one.job))), (None, 0))
        if head is None:
            return None
        riders, images, reason = [head], head.job.images, StopReason.DRAINED
        for ticket in line:
            if images >= room:
                break
            if ticket.job.batch_key == head.job.batch_key and images + ticket.job.images <= room:
                riders.append(ticket)
                images += ticket.job.images
            else:
                reason = StopReason.INCOMPATIBLE
        self._take_out(riders)
        return Batch(riders, StopReason.FULL if images >= room else reason)

    def _take_out(self, tickets: list[Ticket]) -> None:
        for priority, line in self._lines.items():
            mine = [ticket for ticket in tickets if ticket.priority is priority]
            if mine:
                self._turns.served(priority, sum(one.work for one in mine), self.weights[priority])
                line.take(mine)
        if not len(self):
            self._turns.forget()
