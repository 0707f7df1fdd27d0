"""Around the routes: each request for pictures gets its place in a trace, and a line in the log."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inference.tracing import HEADER, Tracer
from inference.visit import Passage
from lightmeter import logs


_access = logging.getLogger("lightmeter.access")
_HEADER = HEADER.encode()
PASSAGE = "lightmeter.passage"
"""Where the routes find the `Passage` in the ASGI scope."""


class Passing:
    """ASGI middleware for the paths that make pictures; it touches no other request."""

    def __init__(
        self, app: ASGIApp, *, paths: Collection[str], tracer: Tracer, access_log: bool
    ) -> None:
        self._app = app
        self._paths = paths
        self._tracer = tracer
        self._access_log = access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and back what comes of it."""
        if scope["type"] != "http" or scope["path"] not in self._paths:
            await self._app(scope, receive, send)
            return
        trace = self._tracer.begin(scope["headers"])
        passage = scope[PASSAGE] = Passage(trace, scope["method"], scope["path"])
        header = (_HEADER, trace.traceparent.encode())

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                passage.status = message["status"]
                message["headers"] = [*message.get("headers", ()), header]
            await send(message)

        try:
            await self._app(scope, receive, answer)
        finally:
            end(passage, self._tracer, access_log=self._access_log)


def end(passage: Passage, tracer: Tracer, *, access_log: bool) -> None:
    """Tell of a request that is over. One that was not let in is no visit, but has a line."""
    visit = passage.visit
    if visit and tracer.keeps(passage.trace):
        tracer.finish(passage.trace, visit.facts(passage))
    if not access_log:
        return
    fields = {
        "method": passage.method,
        "path": passage.path,
        "status": passage.status,
        **({"outcome": visit.outcome.value} if visit else {}),
        "seconds": round(time.monotonic() - passage.began, 6),
    }
    ids = visit.ids if visit else passage.trace.ids
    said = " ".join(map(str, [*fields.values(), *ids.values()]))
    with logs.about(**ids):
        _access.info(said, extra={"fields": fields})
