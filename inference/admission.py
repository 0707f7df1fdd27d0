"""Whether a request may join the queue: decided before any memory is touched, with the reason."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

from inference.forecast import Forecast, Staff
from inference.limits import Limits
from inference.promises import Books
from inference.rates import Rates
from inference.tickets import Refused, Ticket
from inference.waiting import WaitingRoom
from lightmeter.catalog import ShedReason, WorkerState
from lightmeter.units import counted


STARTING_RETRY_SECONDS = 5.0
RESERVED = 1 / 6
"""Least part of the room that is closed to newcomers while others are due back."""


def nobody() -> Refused:
    """Say that there is no worker."""
    return Refused(ShedReason.NO_WORKER, "no worker is running; try again", STARTING_RETRY_SECONDS)


def closing() -> Refused:
    """Say that the server ends."""
    return Refused(ShedReason.DRAINING, "the server is shutting down; ask another replica", 1.0)


class Crew(Staff, Protocol):
    """Those who work, and in what state they are."""

    @property
    def able(self) -> int:
        """Workers that serve or could serve right now."""
        ...

    @property
    def asleep(self) -> bool:
        """Whether it was emptied on purpose, and nobody serves since."""
        ...

    @property
    def start_left(self) -> float | None:
        """Seconds until somebody serves; None where nobody starts, or no start was measured yet."""
        ...

    def count(self, state: WorkerState, /) -> int:
        """Count the workers in one state."""
        ...


class Admission:
    """The door in front of the queue. ``clock`` gives seconds that only grow."""

    def __init__(
        self, limits: Limits, queue: WaitingRoom, pool: Crew, *, clock: Callable[[], float]
    ) -> None:
        self._limits = limits
        self._queue = queue
        self._pool = pool
        self._clock = clock
        self._rates = Rates()
        self._promises = Books()
        self._forecast = Forecast(queue, pool)
        self.draining = False

    @property
    def wakes(self) -> bool:
        """Whether nobody serves, and whoever comes now has a worker started and waits for it."""
        return self._pool.asleep and self._limits.wake and not self.draining

    @property
    def open(self) -> bool:
        """Whether requests are let in."""
        return not self.draining and (self._pool.able > 0 or self.wakes)

    def check_open(self) -> None:
        """Turn everyone away while there is nobody to serve them.

        Raises:
            Refused: the server ends, or no worker has the model yet.
        """
        if self.draining:
            raise closing()
        if self.open:
            return
        if self._pool.count(WorkerState.STARTING):
            left = self._pool.start_left or STARTING_RETRY_SECONDS
            raise Refused(ShedReason.STARTING, "the model is loading; try again", left)
        raise nobody()

    def admit(self, ticket: Ticket) -> Ticket | None:
        """Let a request in, or turn it away; return the waiting one that has to yield to it.

        Raises:
            Refused: its tenant asks too often, or it would wait too long or in too long a line; with
                the seconds after which to come back.
        """
        now = self._clock()
        self._check_rate(ticket, now)
        ticket.returns = self._promises.redeem(ticket.flow, ticket.mark, now)
        places, seconds = self._reserved(ticket, now)
        self._check_wait(ticket, now, self._limits.max_wait - seconds)
        yields = None
        if len(self._queue) >= self._limits.queue - places:
            yields = self._queue.greediest(ticket)
            if yields is None:
                raise self.refuse(ticket)
        self._forecast.admitted(ticket, now)
        return yields if len(self._queue) >= self._limits.queue else None

    def _reserved(self, ticket: Ticket, now: float) -> tuple[int, float]:
        """Places, and seconds of the longest wait, that a newcomer leaves to those who are due.

        They come as often as places get free, but not as evenly: the square root of the number of
        places takes up the difference (tried in tests/inference/test_promises.py). No place is
        kept empty that would keep a worker busy.
        """
        if ticket.returns or not self._pool.pace.known:
            return 0, 0.0
        room, bound = self._limits.queue, self._limits.max_wait
        beyond = max(0, room - self._pool.hands * self._limits.batch)
        places = min(round(max(room * RESERVED, math.sqrt(room))), beyond)
        place_seconds = self._forecast.place_seconds(ticket, now)
        seconds = min(max(bound * RESERVED, math.sqrt(bound * place_seconds)), bound / 2)
        if self._promises.due(now, by=now + max(places * place_seconds, seconds)):
            return places, seconds
        return 0, 0.0

    def _check_wait(self, ticket: Ticket, now: float, most: float) -> None:
        bound = self._limits.max_wait
        if not bound:
            return
        wait = self._forecast.wait(ticket, now)
        if wait > most:
            raise self._refused(ticket, f"the wait would be about {wait:.0f} s")
        if self._pool.pace.known and wait > bound / 2:  # a short wait is much longer by one call
            ticket.predicted = wait / self._pool.pace.caution

    def _check_rate(self, ticket: Ticket, now: float) -> None:
        wait = self._rates.wait(ticket.tenant, now)
        if wait:
            rate = ticket.tenant.requests_per_minute
            raise Refused(
                ShedReason.RATE_LIMIT,
                f"{ticket.tenant.name} may send {rate:g} requests a minute; try again",
                math.ceil(wait),
            )

    def refuse(self, ticket: Ticket) -> Refused:
        """Say that the queue is full, and when there will be a place."""
        return self._refused(
            ticket, f"the queue is full: {counted(len(self._queue), 'request')} waiting"
        )

    def _refused(self, ticket: Ticket, why: str) -> Refused:
        now = self._clock()
        place_seconds = self._forecast.place_seconds(ticket, now)
        wait = self._promises.refuse(
            ticket.flow,
            ticket.mark,
            now,
            place_seconds,
            again=ticket.returns,
            least=self._pool.start_left or 0.0,
        )
        return Refused(ShedReason.QUEUE_FULL, f"{why}; try again after {wait:g} s", wait)
