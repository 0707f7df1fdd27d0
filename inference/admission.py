"""Whether a request may join the queue: decided before any memory is touched, with the reason."""

from __future__ import annotations

import math
from collections.abc import Callable

from inference.limits import Limits
from inference.pool import Pool
from inference.promises import Promises
from inference.rates import Rates
from inference.tickets import Refused, Ticket
from inference.waiting import WaitingRoom
from lightmeter.catalog import ShedReason, WorkerState


STARTING_RETRY_SECONDS = 5.0


class Admission:
    """The door in front of the queue. ``clock`` gives seconds that only grow."""

    def __init__(
        self, limits: Limits, queue: WaitingRoom, pool: Pool, *, clock: Callable[[], float]
    ) -> None:
        self._limits = limits
        self._queue = queue
        self._pool = pool
        self._clock = clock
        self._rates = Rates()
        self._promises = Promises()
        self.draining = False

    def check_open(self) -> None:
        """Turn everyone away while there is nobody to serve them.

        Raises:
            Refused: the server ends, or no worker has the model yet.
        """
        if self.draining:
            raise self.closing()
        if self._pool.able:
            return
        if self._pool.count(WorkerState.STARTING):
            raise Refused(
                ShedReason.STARTING, "the model is loading; try again", STARTING_RETRY_SECONDS
            )
        raise Refused(
            ShedReason.NO_WORKER,
            "no worker is running; it is being restarted",
            STARTING_RETRY_SECONDS,
        )

    def admit(self, ticket: Ticket) -> Ticket | None:
        """Let a request in, or turn it away; return the waiting one that has to yield to it.

        Raises:
            Refused: its tenant asks too often, or the queue is full; with the seconds to wait.
        """
        now = self._clock()
        wait = self._rates.wait(ticket.tenant, now)
        if wait:
            rate = ticket.tenant.requests_per_minute
            raise Refused(
                ShedReason.RATE_LIMIT,
                f"{ticket.tenant.name} may send {rate:g} requests a minute; try again",
                math.ceil(wait),
            )
        returns = self._promises.redeem(ticket.mark, now)
        if not self._full(now, returns=returns):
            return None
        yields = self._queue.greediest(ticket.tenant)
        if yields is None:
            raise self.refuse(ticket)
        return yields

    def refuse(self, ticket: Ticket) -> Refused:
        """Say that the queue is full, and when there will be a place."""
        wait = self._promises.refuse(ticket.mark, self._clock(), self._pool.seconds_per_place)
        waiting = len(self._queue)
        return Refused(
            ShedReason.QUEUE_FULL,
            f"{waiting} requests are waiting, as many as may; try again",
            wait,
        )

    @staticmethod
    def closing() -> Refused:
        """Say that the server ends."""
        return Refused(ShedReason.DRAINING, "the server is shutting down; ask another replica", 1.0)

    def _full(self, now: float, *, returns: bool) -> bool:
        """Tell whether a request would wait too long, or in too long a line.

        While others are expected back, a newcomer finds a ninth of the room closed and their
        places taken.
        """
        wait = self._pool.predicted_wait
        ahead, share = 0.0, 1.0
        if self._promises and not returns:
            ahead, share = self._promises.due_within(wait, now), 8 / 9
        if len(self._queue) + ahead >= self._limits.queue * share:
            return True
        bound = self._limits.max_wait
        return bound > 0 and wait + ahead * self._pool.seconds_per_place > bound * share
