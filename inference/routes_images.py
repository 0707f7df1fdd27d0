"""``POST /v1/images/generations``: read within bounds, answered whole or as a stream."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from inference import answers, links
from inference.answers import Made
from inference.aside import give_up
from inference.contract import MAKING, Event, PicturesAnswer, route
from inference.orders import ImageRequest
from inference.passing import PASSAGE
from inference.service import ImageService
from inference.visit import Caller
from lightmeter import bodies
from lightmeter.bodies import BodyTooLarge, BodyTooSlow
from lightmeter.catalog import Outcome
from lightmeter.errors import LightmeterError


_log = logging.getLogger(__name__)
GENERATIONS = "/v1/images/generations"
CLIENT_LEFT = 499
"""Nobody reads it; nginx has made it the log's word for a client that went away."""
QUIET_SECONDS = 15.0
"""A stream with no news for so long sends a comment, so that no proxy closes it."""
_MADE = {
    "model": PicturesAnswer,
    "content": {"text/event-stream": {"schema": Event.model_json_schema()}},
    "description": "The pictures, or with stream: true the events.",
}
Problem = Callable[[Exception], tuple[int, dict[str, Any], dict[str, str]]]


def add(app: FastAPI, service: ImageService, problem: Problem) -> None:
    """Add the route; ``problem`` translates what fails after a stream has begun."""

    @app.post(GENERATIONS, **route("Make pictures.", *MAKING, ok=_MADE, takes=ImageRequest))
    async def generate(request: Request) -> Response:
        caller = caller_of(request, service)
        try:
            body = await read_body(request, service, caller)
        except ClientDisconnect:
            return Response(status_code=CLIENT_LEFT)
        if wants_stream(body):
            return await _stream(service, body, caller, problem)
        made = await _while_connected(request, service.generate(body, caller))
        if made is None:
            return Response(status_code=CLIENT_LEFT)
        return _Sent(made, service)


def caller_of(request: Request, service: ImageService) -> Caller:
    """Tell who asks.

    Raises:
        Unauthorized: keys are asked for, and this is none of them.
    """
    tenant = service.keys.identify(request.headers.get("authorization"))
    peer = request.client.host if request.client else ""
    trusted = service.settings.trusted_proxy
    return Caller(
        tenant,
        links.client_address(request.headers, peer, trusted),
        passage=request.scope.get(PASSAGE),
        base=links.base_url(service.settings, request.headers, peer=peer, own=_own(request)),
    )


def _own(request: Request) -> str:
    """Our own address as the client's connection has it, host:port."""
    host, port = request.scope.get("server") or ("localhost", None)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def read_body(request: Request, service: ImageService, caller: Caller) -> bytes:
    """Read a request's body within its bounds; one that does not come is recorded.

    Raises:
        BodyTooLarge, BodyTooSlow: it exceeds the bounds. ClientDisconnect: the client went away.
    """
    try:
        return await bodies.read(request, service.settings.max_body_bytes)
    except (BodyTooLarge, BodyTooSlow):
        service.unread(Outcome.INVALID, caller)
        raise
    except ClientDisconnect:
        service.unread(Outcome.CANCELLED, caller)
        raise


def wants_stream(body: bytes) -> bool:
    """Tell whether a body asks for a stream; whether it is valid is seen later."""
    if b'"stream"' not in body:
        return False
    with contextlib.suppress(ValueError, RecursionError):
        asked = json.loads(body)
        return isinstance(asked, dict) and asked.get("stream") is True
    return False


class _Sent(Response):
    """An answer that says when it has left."""

    media_type = "application/json"

    def __init__(self, made: Made, service: ImageService) -> None:
        self._made = made
        self._service = service
        self._began = time.monotonic()
        super().__init__(made.body)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._service.sent(self._made, time.monotonic() - self._began)


async def _while_connected(request: Request, work: Coroutine[Any, Any, Made]) -> Made | None:
    """Do the work for as long as the client is there; what it leaves behind is cancelled."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        await give_up(working)
        return None
    finally:
        working.cancel()
        leaving.cancel()


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _stream(service: ImageService, body: bytes, caller: Caller, problem: Problem) -> Response:
    """Begin a stream once the request is accepted; what is refused before gets its own status."""
    news: asyncio.Queue[tuple[int, int] | None] = asyncio.Queue()
    listening = dataclasses.replace(
        caller, progress=lambda step, steps: news.put_nowait((step, steps))
    )
    working = asyncio.ensure_future(service.generate(body, listening))
    working.add_done_callback(lambda _: news.put_nowait(None))
    try:
        first = await news.get()
    except asyncio.CancelledError:
        working.cancel()
        raise
    if first is None:
        working.result()
    return _Stream(working, told_of(working, first, news), service, problem)


class _Stream(StreamingResponse):
    """Progress, then the pictures or what went wrong; a client that leaves ends the work."""

    def __init__(
        self,
        working: asyncio.Future[Made],
        progress: AsyncIterator[bytes],
        service: ImageService,
        problem: Problem,
    ) -> None:
        self._working = working
        self._service = service
        self._problem = problem
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(self._told(progress), media_type="text/event-stream", headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await give_up(self._working)

    async def _told(self, progress: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        yield b": accepted\n\n"
        async for event in progress:
            yield event
        began = time.monotonic()
        try:
            made = self._working.result()
        except Exception as error:  # noqa: BLE001  (the answer has begun: only an event can tell)
            if not isinstance(error, LightmeterError):
                _log.exception("a stream failed")
            status, told, headers = self._problem(error)
            yield answers.failure(told, status, headers.get("Retry-After"))
            return
        for event in made.events:
            yield event
        self._service.sent(made, time.monotonic() - began)


async def told_of(
    working: asyncio.Future[Made],
    first: tuple[int, int] | None,
    news: asyncio.Queue[tuple[int, int] | None],
    quiet: float = QUIET_SECONDS,
) -> AsyncIterator[bytes]:
    """Yield an event for each step until the work is done, and a comment after so many quiet seconds."""
    step = first
    while True:
        if step:
            yield answers.progress(*step)
        if working.done() and news.empty():
            return
        try:
            step = await asyncio.wait_for(news.get(), quiet)
        except TimeoutError:
            step = None
            yield b": still here\n\n"
