"""Waking from zero: a request that finds no worker has one started, and waits for it within bounds.

The pool sleeps where it was emptied on purpose: all of its workers were sent away through the admin
routes, or the server was started with none. A worker that died is another matter, see `keeper`.
"""

from __future__ import annotations

import asyncio

from inference.admission import STARTING_RETRY_SECONDS, Admission, nobody
from inference.limits import Limits
from inference.pool import Pool
from inference.tickets import Refused, Ticket
from inference.waiting import WaitingRoom
from lightmeter.catalog import ShedReason
from lightmeter.units import counted, show_duration


class Waker:
    """Starts one worker for all who wait. ``patience`` is seconds that a request may wait for it."""

    def __init__(
        self, limits: Limits, queue: WaitingRoom, pool: Pool, door: Admission, *, patience: float
    ) -> None:
        self._limits, self._queue, self._pool, self._door = limits, queue, pool, door
        self._patience = patience
        self._unread = 0
        pool.when_empty(self._emptied)

    def call(self) -> None:
        """See that a worker starts, if the pool sleeps; one start is for all who ask meanwhile.

        Raises:
            Refused: it will take longer than a request may wait; it starts all the same.
        """
        if not self._pool.asleep:
            return
        self._start()
        left = self._pool.start_left
        if self._patience == 0 or (left or 0.0) > self._patience:
            raise self._starting("a worker starts")

    def _start(self) -> None:
        """Start a worker where there is none; one that still drains may hold the GPU's memory."""
        if not self._pool.workers:
            self._pool.add()

    def watch(self, ticket: Ticket) -> None:
        """Let a queued request wait no longer for a worker than it may."""
        if self._pool.able:
            return
        timer = asyncio.get_running_loop().call_later(self._patience, self._give_up, ticket)
        ticket.future.add_done_callback(lambda _: timer.cancel())

    def _give_up(self, ticket: Ticket) -> None:
        if ticket.started is None and not self._pool.able:
            waited = f"no worker was ready within {show_duration(self._patience)}"
            self._queue.dismiss(ticket, self._starting(waited))

    async def first(self) -> None:
        """Wait for the first worker there ever was: it knows which size is meant where none is named.

        Raises:
            Refused: too many wait for that, or it takes too long.
        """
        if self._unread >= self._limits.queue:
            said = f"{counted(self._unread, 'request')} waiting for a worker to start"
            wait = self._pool.start_left or STARTING_RETRY_SECONDS
            raise Refused(ShedReason.QUEUE_FULL, f"the queue is full: {said}; try again", wait)
        self.call()
        self._unread += 1
        try:
            async with asyncio.timeout(self._patience):
                await self._pool.loaded()
        except TimeoutError as error:
            raise self._starting(f"no worker was ready within {show_duration(self._patience)}") from error  # fmt: skip
        finally:
            self._unread -= 1
        self._door.check_open()

    def _starting(self, why: str) -> Refused:
        left = self._pool.start_left or STARTING_RETRY_SECONDS
        return Refused(ShedReason.STARTING, f"{why}; try again after {show_duration(left)}", left)

    def _emptied(self) -> None:
        """Start another where somebody waits; where that is not wanted, say so to them."""
        waiting = list(self._queue)
        if not self._limits.wake or self._door.draining:
            for ticket in waiting:
                self._queue.dismiss(ticket, nobody())
        elif waiting or self._unread:
            self._start()
            for ticket in waiting:
                self.watch(ticket)
