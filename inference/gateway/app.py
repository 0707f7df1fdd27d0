"""The gateway's routes: pictures and jobs through the line, the rest where it belongs."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from importlib import metadata
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from inference.app import INVALID, problem
from inference.gateway.answering import Broken
from inference.gateway.asides import Asides, own_routes_only
from inference.gateway.desk import Desk
from inference.gateway.finding import Finder
from inference.gateway.meters import Meters
from inference.gateway.pictures import Pictures
from inference.keys import Keys
from inference.routes_images import GENERATIONS
from inference.routes_jobs import JOBS
from inference.store import IMAGES
from lightmeter.errors import LightmeterError
from lightmeter.settings_gateway import Gateway


_log = logging.getLogger(__name__)
_GET = ["GET"]
Handler = Callable[[Scope, Receive, Send], Awaitable[None]]


class _Asgi:
    """Makes a handler's method an ASGI application, which a route may end in."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._handler(scope, receive, send)
        except Broken:  # what is left unsaid closes the connection
            _log.warning("half an answer was sent; its connection is closed")


def create_app(settings: Gateway, desk: Desk, meters: Meters, keys: Keys) -> Starlette:
    """Put the routes together."""
    finder = Finder(desk.fleet)
    pictures = Pictures(settings, desk, meters=meters, keys=keys, finder=finder)
    asides = Asides(settings, desk.fleet, finder, keys)

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_: Request) -> Response:
        states = {state.value: count for state, count in desk.fleet.states().items()}
        ready = not desk.door.draining and bool(desk.fleet.able or desk.waker.configured)
        body = {"ready": ready, "replicas": states, "queued": len(desk.queue)}
        return JSONResponse(body, 200 if ready else 503, {} if ready else {"Retry-After": "1"})

    async def version(_: Request) -> Response:
        return JSONResponse(
            {"version": metadata.version("lightmeter"), "service": settings.service, "role": "gateway"}
        )  # fmt: skip

    async def admin(request: Request) -> Response:
        raise own_routes_only(request.url.path)

    routes = [
        Route(GENERATIONS, pictures, methods=["POST"]),
        Route(JOBS, pictures, methods=["POST"]),
        Route(JOBS + "/{name}", _Asgi(asides.job), methods=["GET", "DELETE"]),
        Route(IMAGES + "img_{rest}", _Asgi(asides.picture), methods=_GET),
        Route("/v1/feedback", _Asgi(asides.feedback), methods=["POST"]),
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/version", version),
        Route("/admin/{rest:path}", admin, methods=["GET", "POST", "PUT", "DELETE"]),
        Route("/v1/models", _Asgi(asides.any), methods=_GET),
        Route("/v1/models/{name:path}", _Asgi(asides.any), methods=_GET),
        Route("/openapi.json", _Asgi(asides.any), methods=_GET),
        Route("/page/{rest:path}", _Asgi(asides.any), methods=_GET),
        Route("/", _Asgi(asides.any), methods=_GET),
    ]
    return Starlette(routes=routes, exception_handlers={HTTPException: _other, LightmeterError: _ours, Exception: _ours})  # fmt: skip


async def _other(_: Request, error: Exception) -> Response:
    status, told = getattr(error, "status_code", 500), str(getattr(error, "detail", error))
    body: dict[str, Any] = {"error": {"message": told, "type": INVALID, "param": None, "code": str(status)}}  # fmt: skip
    return JSONResponse(body, status, getattr(error, "headers", None))


async def _ours(_: Request, error: Exception) -> Response:
    status, body, headers = problem(error)
    return JSONResponse(body, status, headers)
