"""The desk: who waits, whose turn it is, and at which replica. It serves as well with none."""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from typing import TYPE_CHECKING, cast

from inference.admission import Admission, closing
from inference.audience import Audience
from inference.gateway.asks import Ask
from inference.gateway.fleet import Fleet
from inference.gateway.meters import Meters
from inference.gateway.replica import Replica
from inference.gateway.waking import LONG_SECONDS, SHORT_SECONDS, Arrivals, Waker
from inference.inside import Inside
from inference.keys import Tenant
from inference.limits import Limits
from inference.tickets import Batch, Refused, Ticket
from inference.waiting import MOST_SCANNED, WaitingRoom
from lightmeter.catalog import ShedReason
from lightmeter.settings_gateway import Gateway


if TYPE_CHECKING:
    from inference.tickets import Answer

TICK_SECONDS = 0.25
"""How exactly the bounded wait for a replica is kept."""
_NO_BOUND = 10**9


class Desk:
    """The one bounded queue in front of all replicas."""

    def __init__(self, settings: Gateway, fleet: Fleet, waker: Waker, meters: Meters) -> None:
        self._settings, self.fleet, self.waker, self._meters = settings, fleet, waker, meters
        limits = Limits(_NO_BOUND, settings.queue, 1, settings.max_wait)
        self.queue = WaitingRoom(limits, settings.batch_share)
        self.door = Admission(limits, self.queue, fleet, clock=time.monotonic)
        self.audience, self._arrivals = Audience(), Arrivals()
        self._avoid: dict[Ticket, frozenset[Replica]] = {}
        self._at: dict[Ticket, tuple[Replica, Batch]] = {}
        self._empty_since = time.monotonic()
        self._slept_since: float | None = None
        """When somebody first waited while no replica was ready."""
        self.inside = Inside(meters.in_flight)
        fleet.changed = self.changed
        fleet.coming = waker.remaining

    @property
    def wanted(self) -> bool:
        """Whether somebody waits and no replica is ready."""
        return bool(len(self.queue)) and not self.fleet.able

    def demand(self) -> dict[str, float]:
        """Say what the scaler is told, as its own readings are named."""
        now = time.monotonic()
        return {
            "in_flight": self.inside.count,
            "queued": len(self.queue),
            "rate_short": self._arrivals.rate(SHORT_SECONDS, now),
            "rate_long": self._arrivals.rate(LONG_SECONDS, now),
            "active_users": self.audience.count(now),
        }

    def users(self) -> int:
        """Count the users of the last five minutes."""
        return self.audience.count(time.monotonic())

    def enter(self, ask: Ask, tenant: Tenant, mark: bytes, arrived: float) -> Ticket:
        """Let a request in, or turn it away; whoever has to yield for it is answered.

        Raises:
            Refused: the gateway ends, the queue is full, its key asks too often, or the wait would
                be too long.
        """
        self._arrivals.add(arrived)
        if self.door.draining:
            raise closing()
        ticket = Ticket(ask.job, ask.priority, arrived, _future(), tenant=tenant, mark=mark)
        yields = self.door.admit(ticket)
        if yields:
            self.queue.dismiss(yields, self.door.refuse(yields))
        return ticket

    async def turn(self, ticket: Ticket, avoid: frozenset[Replica]) -> Replica:
        """Wait for a replica, for one that is none of those to avoid if there is another.

        Raises:
            Refused: the deadline, or the bounded wait for a first replica, is over.
        """
        turn: asyncio.Future[Replica] = asyncio.get_running_loop().create_future()
        ticket.future = cast("asyncio.Future[Answer]", turn)
        self._avoid[ticket] = avoid
        left = ticket.arrived + self._settings.deadline - time.monotonic()
        deadline = asyncio.get_running_loop().call_later(left, self._expire, ticket)
        self.queue.put(ticket)
        try:
            self.changed()
            return await turn
        except BaseException:
            self.leave(ticket)
            raise
        finally:
            deadline.cancel()

    def leave(self, ticket: Ticket) -> None:
        """Take a request out of the line, or from its replica, whose place somebody else gets."""
        self.queue.drop(ticket)
        self._avoid.pop(ticket, None)
        replica, batch = self._at.pop(ticket, (None, None))
        if replica and batch:
            replica.drop(ticket)
            self.queue.done(batch)
        self.changed()

    def changed(self) -> None:
        """Hand out turns, as far as there is room at the replicas; or have one woken."""
        now = time.monotonic()
        if self.fleet.able:
            self._awake(now)
        elif len(self.queue):
            self._slept_since = self._slept_since or now
            self.waker.nudge()
        while pair := self._next(now):
            self._hand(*pair, now)

    def _awake(self, now: float) -> None:
        self.waker.over()
        self._empty_since = now
        if self._slept_since is not None:
            self._meters.woken(now - self._slept_since)
            self._slept_since = None

    def _next(self, now: float) -> tuple[Ticket, Replica] | None:
        """Find whose turn it is, and the replica that would be done first."""
        if not len(self.queue) or self.fleet.best(now) is None:
            return None
        for ticket in itertools.islice(self.queue, MOST_SCANNED):
            if ticket.future.done():  # its client has just gone, and it is about to leave the line
                continue
            replica = self.fleet.best(now, self._avoid.get(ticket, frozenset()))
            if replica:
                return ticket, replica
        return None

    def _hand(self, ticket: Ticket, replica: Replica, now: float) -> None:
        batch = self.queue.take_now(lambda job: job.images if job is ticket.job else 0, now)
        if batch is None:
            raise RuntimeError("a ticket of the line is not in the line")
        self._avoid.pop(ticket, None)
        self._at[ticket] = replica, batch
        replica.take(ticket, now)
        cast("asyncio.Future[Replica]", ticket.future).set_result(replica)

    def _expire(self, ticket: Ticket) -> None:
        message = f"the picture was not made within the deadline of {self._settings.deadline:g} s"
        self.queue.dismiss(ticket, Refused(ShedReason.DEADLINE, message, self.wait_seconds()))

    def wait_seconds(self) -> float:
        """Tell how long all that waits now will take, whole seconds, at least 1."""
        seconds = self.fleet.running + self.queue.seconds(self.fleet.pace)
        return math.ceil(max(1.0, seconds / self.fleet.hands))

    async def keep(self) -> None:
        """Turn away whoever has waited for a first replica for too long, until cancelled."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self.changed()
            if not self.fleet.able:
                self._send_away(time.monotonic() - self._settings.wake_wait)

    def _send_away(self, before: float) -> None:
        late = [one for one in self.queue if max(one.arrived, self._empty_since) <= before]
        for ticket in late:
            after = math.ceil(self.waker.remaining())
            why = f" ({self.waker.why})" if self.waker.why else ""
            message = f"no replica is ready{why}; try again after {after} s"
            self.queue.dismiss(ticket, Refused(ShedReason.NO_WORKER, message, after))

    def close(self) -> None:
        """Turn away whoever still waits, for good."""
        self.door.draining = True
        for ticket in list(self.queue):
            self.queue.dismiss(ticket, closing())


def _future() -> asyncio.Future[Answer]:
    return asyncio.get_running_loop().create_future()
