"""Requests for pictures and jobs: read, let in, taken to a replica, for as long as the client is there."""

from __future__ import annotations

import asyncio
import logging
import time

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from inference.aside import give_up
from inference.gateway import asks
from inference.gateway.answering import Answering, Broken, outcome_of
from inference.gateway.desk import Desk
from inference.gateway.door import Caller, caller_of, sending
from inference.gateway.finding import Finder
from inference.gateway.hop import Died
from inference.gateway.meters import Meters
from inference.gateway.relay import Course, Relay
from inference.keys import Keys
from inference.promises import fingerprint
from inference.routes_images import CLIENT_LEFT
from inference.routes_jobs import JOBS
from inference.tickets import Refused, work_of
from inference.tracing import HEADER, NoTracer, TraceContext, parent_of
from lightmeter import bodies
from lightmeter.catalog import Outcome, Priority
from lightmeter.errors import WorkerError
from lightmeter.settings_gateway import Gateway


_log = logging.getLogger(__name__)
_access = logging.getLogger("lightmeter.access")


class Visit:
    """One request: what is known of it, for the meters and the log."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.scope = scope
        self.began = time.monotonic()
        self.trace: TraceContext = NoTracer().begin(scope["headers"])
        self.traced = parent_of(scope["headers"]) is not None
        """Whether the caller has a trace of its own, which then goes on as it is."""
        own = [] if self.traced else [(HEADER.encode(), self.trace.traceparent.encode())]
        self.answering = Answering(send, own)
        self.priority = Priority.INTERACTIVE
        self.course: Course | None = None
        self.left = self.failed = False
        """Whether its client went; whether replicas died with it, or failed again and again."""

    @property
    def status(self) -> int:
        """Status of the answer, as the log has it."""
        return CLIENT_LEFT if self.left else self.answering.status or 500

    @property
    def outcome(self) -> Outcome:
        """How it ended."""
        if self.left:
            return Outcome.CANCELLED
        return Outcome.ERROR if self.failed else outcome_of(self.status)

    def tell(self) -> None:
        """Write its line."""
        replica = self.course.replica if self.course else None
        fields = {
            "method": self.scope["method"],
            "path": self.scope["path"],
            "status": self.status,
            "outcome": self.outcome.value,
            "seconds": round(time.monotonic() - self.began, 6),
            "replica": str(replica.address) if replica else "-",
        }
        said = " ".join(map(str, [*fields.values(), self.trace.trace_id]))
        _access.info(said, extra={"fields": fields | self.trace.ids})


class Pictures:
    """ASGI application of the routes that make pictures."""

    def __init__(
        self, settings: Gateway, desk: Desk, *, meters: Meters, keys: Keys, finder: Finder
    ) -> None:
        self._settings, self._desk, self._meters, self._keys = settings, desk, meters, keys
        self._finder = finder
        self._relay = Relay(desk, meters, deadline=settings.deadline)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        visit = Visit(scope, send)
        try:
            with self._desk.inside.one():
                await self._serve(visit, receive)
        except Broken:
            _log.warning("half an answer was sent; its connection is closed")
        finally:
            seconds = time.monotonic() - visit.began
            self._meters.ended(visit.outcome, visit.priority, seconds, visit.trace.exemplar)
            if self._settings.access_log:
                visit.tell()

    async def _serve(self, visit: Visit, receive: Receive) -> None:
        request = Request(visit.scope, receive)
        try:
            caller = caller_of(visit.scope, self._keys, self._settings.trusted_proxy)
            body = await bodies.read(request, self._settings.max_body_bytes)
        except ClientDisconnect:
            visit.left = True
        except Exception as error:  # noqa: BLE001  (a process edge: each error is an answer)
            await visit.answering.refuse(error)
        else:
            await self._while_connected(visit, receive, caller, body)

    async def _while_connected(
        self, visit: Visit, receive: Receive, caller: Caller, body: bytes
    ) -> None:
        """Have a request answered for as long as its client is there.

        Raises:
            Broken: half an answer went out; the connection must not look as if that were all.
        """
        working = asyncio.ensure_future(self._answer(visit, caller, body))
        leaving = asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
            visit.left = not working.done() and not visit.answering.over
            if not visit.left:
                await working  # once it is over there is nobody to leave
        finally:
            leaving.cancel()
            await give_up(working)

    async def _answer(self, visit: Visit, caller: Caller, body: bytes) -> None:
        answering = visit.answering
        try:
            course = visit.course = self._enter(visit, caller, body)
            await self._relay.serve(course)
            visit.failed = course.failed
            if course.replica:
                self._finder.saw(answering.names, course.replica)
        except Broken:
            raise
        except Died as error:
            visit.failed = True
            await answering.refuse(
                WorkerError(f"the replica died in the middle of its answer ({error})")
            )
        except Exception as error:  # noqa: BLE001  (a process edge: each error is an answer)
            if isinstance(error, Refused):
                self._meters.shed(error.reason)
            visit.failed = isinstance(error, WorkerError)
            await answering.refuse(error)

    def _enter(self, visit: Visit, caller: Caller, body: bytes) -> Course:
        """Understand a request and let it in.

        Raises:
            InvalidRequest: 422. Refused: 429 or 503.
        """
        ask = asks.read(body, self._settings)
        visit.priority = ask.priority
        user = (caller.tenant.name, ask.user)
        self._desk.audience.saw(user if any(user) else (caller.address,), visit.began)
        self._meters.offered(work_of(ask.job))
        mark = fingerprint(caller.tenant.name, body)
        ticket = self._desk.enter(ask, caller.tenant, mark, visit.began)
        on = sending(visit.scope, caller, visit.trace, body, parent=visit.traced)
        return Course(ticket, on, visit.answering, measured=visit.scope["path"] != JOBS)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
