"""The HTTP routes. Errors are OpenAI-shaped: ``{"error": {"message", "type", "param", "code"}}``."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine
from importlib import metadata
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from inference.orders import ImageRequest, InvalidRequest
from inference.service import DoesNotFit, ImageService
from inference.waiting import Refused
from lightmeter.catalog import Outcome, ShedReason, WorkerState
from lightmeter.errors import HistoryError, WorkerError


GENERATIONS = "/v1/images/generations"
BODY_SECONDS = 30.0
"""A client that takes longer to send its request is not waited for."""
CLIENT_LEFT = 499
"""Nobody reads it; nginx has made it the log's word for a client that went away."""
_STATUS = {ShedReason.QUEUE_FULL: 429, ShedReason.RATE_LIMIT: 429, ShedReason.DEADLINE: 504}
_BODY = {
    "content": {"application/json": {"schema": ImageRequest.model_json_schema()}},
    "required": True,
}


def create_app(service: ImageService) -> FastAPI:
    """Build the application around a service."""
    # FastAPI's own documentation pages load scripts from a CDN; /openapi.json is enough.
    app = FastAPI(
        title="lightmeter", version=metadata.version("lightmeter"), docs_url=None, redoc_url=None
    )
    _add_generation(app, service)
    _add_health(app, service)
    _add_errors(app)
    return app


def _add_generation(app: FastAPI, service: ImageService) -> None:
    @app.post(GENERATIONS, openapi_extra={"requestBody": _BODY}, summary="Make pictures.")
    async def generate(request: Request) -> Response:
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await _read(request, service.settings.max_body_bytes)
        except ClientDisconnect:
            service.unread(Outcome.CANCELLED)
            return Response(status_code=CLIENT_LEFT)
        except TimeoutError:
            service.unread(Outcome.INVALID)
            return _error(
                408, f"no whole body came within {BODY_SECONDS:g} s", "invalid_request_error"
            )
        if body is None:
            service.unread(Outcome.INVALID)
            limit = service.settings.max_body_bytes
            return _error(
                413, f"the body is larger than {limit} bytes", "invalid_request_error", field="body"
            )
        return await _while_connected(request, service.generate(body))


async def _while_connected(request: Request, work: Coroutine[Any, Any, bytes]) -> Response:
    """Do the work for as long as the client is there; what it leaves behind is cancelled."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return Response(working.result(), media_type="application/json")
        working.cancel()
        await asyncio.wait({working})
        return Response(status_code=CLIENT_LEFT)
    finally:
        working.cancel()
        leaving.cancel()


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _read(request: Request, limit: int) -> bytes | None:
    """Read the body; None as soon as it is known to exceed the limit."""
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > limit:
        return None
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            return None
    return bytes(body)


def _add_health(app: FastAPI, service: ImageService) -> None:
    @app.api_route("/healthz", methods=["GET", "HEAD"], summary="The process lives.")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.api_route(
        "/readyz", methods=["GET", "HEAD"], summary="The model is loaded and a worker is ready."
    )
    async def readyz() -> JSONResponse:
        states = {state.value: service.pool.count(state) for state in WorkerState}
        ready = service.pool.able > 0 and not service.draining
        headers = {} if ready else {"Retry-After": "1"}
        return JSONResponse({"ready": ready, "workers": states}, 200 if ready else 503, headers)

    @app.get("/version", summary="What is running.")
    async def version() -> dict[str, Any]:
        return {
            "version": metadata.version("lightmeter"),
            "model": service.model,
            "service": service.name,
        }


def _add_errors(app: FastAPI) -> None:
    """Translate our errors into honest status codes: the one table of them."""

    @app.exception_handler(HTTPException)
    async def other(_: Request, error: HTTPException) -> JSONResponse:
        return _error(error.status_code, str(error.detail), "invalid_request_error")

    @app.exception_handler(InvalidRequest)
    async def invalid(_: Request, error: InvalidRequest) -> JSONResponse:
        return _error(422, str(error), "invalid_request_error", field=error.field)

    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> JSONResponse:
        status = _STATUS.get(error.reason, 503)
        return _error(status, str(error), error.reason, retry_after=error.retry_after)

    @app.exception_handler(DoesNotFit)
    async def too_large(_: Request, error: DoesNotFit) -> JSONResponse:
        return _error(507, str(error), "out_of_memory")

    @app.exception_handler(WorkerError)
    async def broken(_: Request, error: WorkerError) -> JSONResponse:
        return _error(503, str(error), "server_error", retry_after=1)

    @app.exception_handler(HistoryError)
    async def unrecorded(_: Request, error: HistoryError) -> JSONResponse:
        return _error(
            503, f"the request cannot be recorded: {error}", "server_error", retry_after=30
        )


def _error(
    status: int,
    message: str,
    kind: str,
    *,
    field: str | None = None,
    retry_after: float | None = None,
) -> JSONResponse:
    headers = {"Retry-After": str(math.ceil(retry_after))} if retry_after is not None else {}
    body = {"error": {"message": message, "type": kind, "param": field, "code": str(status)}}
    return JSONResponse(body, status, headers)
