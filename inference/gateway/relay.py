"""A request for pictures on its way to a replica, and to another one where the first does not answer it."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from dataclasses import dataclass
from typing import Any

from inference.aside import give_up
from inference.gateway.answering import Answering, error_of
from inference.gateway.desk import Desk
from inference.gateway.hop import Died, Reply, Sending, Unreachable
from inference.gateway.meters import Meters
from inference.gateway.replica import Replica
from inference.load.client import retry_after
from inference.tickets import Refused, Ticket
from lightmeter.catalog import Resent, ShedReason
from lightmeter.errors import WorkerError


_log = logging.getLogger(__name__)
MOST_FAULTS = 2
"""A request on which two replicas died or failed is not given to a third: it may be the cause."""
BUSY_SECONDS = 5.0
"""A replica without room is asked again after what it said, or so long at most."""
MADE, TOO_MANY, UNAVAILABLE = 200, 429, 503
_AWAY = (ShedReason.DRAINING, ShedReason.STARTING, ShedReason.NO_WORKER)


@dataclass
class Course:
    """What has become of a request so far."""

    ticket: Ticket
    sending: Sending
    answering: Answering
    measured: bool = True
    """Whether its answer says how fast a replica is: a job's says only that it was accepted."""
    faults: int = 0
    avoid: frozenset[Replica] = frozenset()
    replica: Replica | None = None
    failed: bool = False
    """Whether it was given up."""
    last: tuple[int, dict[str, Any], str | None] | None = None
    """The last answer that was not passed on: status, body, Retry-After."""


class Elsewhere(Exception):  # noqa: N818  (a turn of the course, not an error)
    """This replica does not answer the request; another may."""

    def __init__(self, reason: Resent) -> None:
        super().__init__(reason)
        self.reason = reason


class Relay:
    """Takes requests through the line and to replicas, until one has answered."""

    def __init__(self, desk: Desk, meters: Meters, *, deadline: float) -> None:
        self._desk, self._meters, self._deadline = desk, meters, deadline

    async def serve(self, course: Course) -> None:
        """Have a request answered.

        Raises:
            Refused: no replica did in time. WorkerError: replicas died with it.
            Broken, Died: the answer had begun and broke off.
        """
        ticket = course.ticket
        while True:
            replica = course.replica = await self._desk.turn(ticket, course.avoid)
            self._meters.queued(time.monotonic() - ticket.arrived)
            try:
                await self._once(course, replica)
            except Elsewhere as turn:
                self._note(course, replica, turn.reason)
            else:
                return
            finally:
                self._desk.leave(ticket)
            if course.faults >= MOST_FAULTS:
                await self._give_up(course)
                return

    async def _once(self, course: Course, replica: Replica) -> None:
        """Ask one replica.

        Raises:
            Elsewhere: it is for another to answer. Refused: the deadline is over.
        """
        end = asyncio.get_running_loop().time() + course.ticket.arrived + self._deadline - time.monotonic()  # fmt: skip
        sending = asyncio.ensure_future(self._ask(course, replica))
        try:
            async with asyncio.timeout_at(end):
                await asyncio.wait({sending, replica.lost}, return_when=asyncio.FIRST_COMPLETED)
                if not sending.done():
                    raise Elsewhere(Resent.DIED)
                sending.result()
        except TimeoutError as error:
            message = f"the picture was not made within the deadline of {self._deadline:g} s"
            raise Refused(ShedReason.DEADLINE, message, self._desk.wait_seconds()) from error
        except Unreachable as error:
            raise Elsewhere(Resent.UNREACHABLE) from error
        except Died as error:
            if course.answering.told:
                raise
            raise Elsewhere(Resent.DIED) from error
        finally:
            await give_up(sending)

    async def _ask(self, course: Course, replica: Replica) -> None:
        async with replica.line.ask(course.sending) as reply:
            if reply.status in (TOO_MANY, UNAVAILABLE):
                await self._judge(course, replica, reply)
                return
            await course.answering.pass_on(reply)
            if course.measured and reply.status == MADE:
                self._desk.fleet.finished(replica, course.ticket)

    async def _judge(self, course: Course, replica: Replica, reply: Reply) -> None:
        """Pass a refusal on only where it is about who asks, not about the replica.

        Raises:
            Elsewhere: another replica may not refuse.
        """
        body = await reply.read()
        after = retry_after(reply.headers)
        found = error_of(body)
        course.last = (reply.status, found, None if after is None else str(math.ceil(after)))
        error = found.get("error")
        kind = error.get("type") if isinstance(error, dict) else None
        if kind == ShedReason.RATE_LIMIT:
            await _fail(course)
            return
        if reply.status == TOO_MANY:
            replica.busy_until = time.monotonic() + min(after or 1.0, BUSY_SECONDS)
            raise Elsewhere(Resent.BUSY)
        raise Elsewhere(Resent.UNREADY if kind in _AWAY else Resent.FAULTY)

    def _note(self, course: Course, replica: Replica, reason: Resent) -> None:
        """Remember of a replica, and of the request, what happened."""
        self._meters.resent(reason)
        _log.info("replica %s: %s; the request goes elsewhere", replica.address, reason)
        if reason in (Resent.UNREACHABLE, Resent.DIED):
            self._desk.fleet.unreachable(replica)
        elif reason is Resent.UNREADY:
            self._desk.fleet.unready(replica)
        elif reason is Resent.FAULTY and replica.faulty(time.monotonic()):
            _log.warning("replica %s answers with fault after fault and is left out for a while", replica.address)  # fmt: skip
        if reason in (Resent.DIED, Resent.FAULTY):
            course.faults += 1
            course.avoid |= {replica}
            if reason is Resent.DIED:
                course.last = None

    async def _give_up(self, course: Course) -> None:
        """Answer what the last replica did, or that it died.

        Raises:
            WorkerError: it died.
        """
        course.failed = True
        if course.last is None:
            raise WorkerError(f"{MOST_FAULTS} replicas died with this request; try again")
        await _fail(course)


async def _fail(course: Course) -> None:
    if course.last:
        status, body, after = course.last
        await course.answering.fail(status, body, after=after)
