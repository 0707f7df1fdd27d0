"""The application. Errors are OpenAI-shaped: ``{"error": {"message", "type", "param", "code"}}``."""

from __future__ import annotations

import math
from importlib import metadata
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from inference import (
    routes_admin,
    routes_feedback,
    routes_health,
    routes_images,
    routes_jobs,
    routes_models,
    routes_page,
    routes_store,
)
from inference.contract import Described
from inference.feedback import Feedback, UnknownRequest
from inference.job import Problem
from inference.jobs import Jobs, UnknownJob
from inference.keys import Forbidden, Unauthorized
from inference.orders import InvalidRequest
from inference.passing import Passing
from inference.routes_models import UnknownModel
from inference.service import ImageService
from inference.shots import Spoiled
from inference.store import UnknownPicture
from inference.tickets import DoesNotFit, Refused
from inference.tracing import Tracer
from lightmeter.bodies import BodyTooLarge, BodyTooSlow
from lightmeter.catalog import ShedReason
from lightmeter.errors import HistoryError, LightmeterError, StoreError, WorkerError


INVALID = "invalid_request_error"
_SHED = {ShedReason.QUEUE_FULL: 429, ShedReason.RATE_LIMIT: 429, ShedReason.DEADLINE: 504}
_KINDS: dict[type[Exception], tuple[int, str]] = {
    InvalidRequest: (422, INVALID),
    UnknownPicture: (404, INVALID),
    UnknownRequest: (404, INVALID),
    UnknownJob: (404, INVALID),
    UnknownModel: (404, INVALID),
    BodyTooLarge: (413, INVALID),
    BodyTooSlow: (408, INVALID),
    Unauthorized: (401, "invalid_api_key"),
    Forbidden: (403, "permission_denied"),
    DoesNotFit: (507, "out_of_memory"),
    Spoiled: (502, "spoiled_picture"),
    WorkerError: (503, "server_error"),
    StoreError: (503, "server_error"),
    HistoryError: (503, "server_error"),
}
"""Status and type of each error of ours; `Refused` names its own. Any other is a fault: 500."""
_RETRY_SECONDS: dict[type[Exception], float] = {
    WorkerError: 1.0,
    StoreError: 5.0,
    HistoryError: 30.0,
}


def create_app(service: ImageService, *, tracer: Tracer, feedback: Feedback, jobs: Jobs) -> FastAPI:
    """Build the application around a service, its ratings and its jobs."""
    # FastAPI's own documentation pages load scripts from a CDN; /openapi.json is enough.
    app = Described(
        title="lightmeter",
        version=metadata.version("lightmeter"),
        docs_url=None,
        redoc_url=None,
        # its own telemetry would tell everything a second time
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    paths = (routes_images.GENERATIONS,)
    access_log = service.settings.access_log
    app.add_middleware(Passing, paths=paths, tracer=tracer, access_log=access_log)
    routes_images.add(app, service, problem)
    routes_health.add(app, service)
    routes_admin.add(app, service)
    routes_store.add(app, service.store)
    routes_feedback.add(app, service, feedback)
    routes_jobs.add(app, service, jobs, tracer=tracer, problem=problem)
    routes_models.add(app, service)
    routes_page.add(app)

    @app.exception_handler(HTTPException)
    async def other(_: Request, error: HTTPException) -> JSONResponse:
        headers = dict(error.headers or {})
        return JSONResponse(
            _body(error.status_code, str(error.detail), INVALID), error.status_code, headers
        )

    @app.exception_handler(Exception)
    @app.exception_handler(LightmeterError)
    async def ours(_: Request, error: Exception) -> JSONResponse:
        status, body, headers = problem(error)
        return JSONResponse(body, status, headers)

    return app


def problem(error: Exception) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Translate an error into status, body and headers: the one table of them."""
    field = error.field if isinstance(error, InvalidRequest) else None
    retry: float | None
    if isinstance(error, Refused):
        status, kind, retry = _SHED.get(error.reason, 503), error.reason.value, error.retry_after
    else:
        known = next((kind for kind in _KINDS if isinstance(error, kind)), Exception)
        status, kind = _KINDS.get(known, (500, "server_error"))
        retry = _RETRY_SECONDS.get(known)
    headers = {} if retry is None else {"Retry-After": str(math.ceil(retry))}
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, (DoesNotFit, Spoiled)):
        headers["X-Should-Retry"] = "false"  # OpenAI's clients would ask again after every 5xx
    message = str(error) if isinstance(error, LightmeterError) else "internal error"
    if isinstance(error, HistoryError):
        message = f"the request cannot be recorded: {message}"
    return status, _body(status, message, kind, field), headers


def problem_of_job(error: Exception) -> Problem:
    """Say of a failed job what its request would have been answered."""
    status, body, headers = problem(error)
    return Problem(status, body["error"], headers.get("Retry-After"))


def _body(status: int, message: str, kind: str, field: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": field, "code": str(status)}}
