"""``/admin``: the limits and the workers of a running server. It asks for an admin's key."""

from __future__ import annotations

import dataclasses
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from inference.contract import READING, LimitsAnswer, WorkerFacts, WorkersAnswer, route
from inference.limits import LimitsChange
from inference.orders import InvalidRequest, explained
from inference.pool import MOST_WORKERS
from inference.service import ImageService
from lightmeter import bodies


def add(app: FastAPI, service: ImageService) -> None:
    """Add the admin routes."""
    _add_limits(app, service)
    _add_workers(app, service)


def _add_limits(app: FastAPI, service: ImageService) -> None:
    @app.get("/admin/limits", **route("The limits in force.", 401, 403, ok=LimitsAnswer))
    async def limits(request: Request) -> dict[str, Any]:
        _admin(request, service)
        return dataclasses.asdict(service.limits)

    describe = route(
        "Change limits; what is not named stays.",
        *(401, 403, *READING),
        ok=LimitsAnswer,
        takes=LimitsChange,
    )

    @app.put("/admin/limits", **describe)
    async def change(request: Request) -> dict[str, Any]:
        who = _admin(request, service)
        try:
            wanted = LimitsChange.model_validate_json(await bodies.read(request))
        except ValidationError as error:
            raise explained(error.errors()[0], LimitsChange) from error
        service.limits.change(wanted, who)
        service.queue.nudge()
        return dataclasses.asdict(service.limits)


def _add_workers(app: FastAPI, service: ImageService) -> None:
    @app.get(
        "/admin/workers", **route("The workers and what they are at.", 401, 403, ok=WorkersAnswer)
    )
    async def workers(request: Request) -> dict[str, Any]:
        _admin(request, service)
        workers = [worker.describe() for worker in service.pool.workers]
        return {"workers": workers, "in_flight": service.inside.count}

    describe = route("Start one more worker.", 401, 403, 422, ok=WorkerFacts, status=202)

    @app.post("/admin/workers", **describe)
    async def start(request: Request) -> dict[str, object]:
        _admin(request, service)
        if len(service.pool.workers) >= MOST_WORKERS:
            raise InvalidRequest(
                "workers", f"there are {MOST_WORKERS} workers, the most there may be"
            )
        return service.pool.add().describe()

    describe = route(
        "Let a worker finish its batch and end; it is not replaced.",
        *(401, 403, 404),
        ok=WorkerFacts,
        status=202,
    )

    @app.delete("/admin/workers/{name}", **describe)
    async def end(request: Request, name: str) -> JSONResponse:
        _admin(request, service)
        worker = service.pool.find(name)
        if worker is None:
            known = ", ".join(one.id for one in service.pool.workers)
            raise HTTPException(
                404, f"there is no worker {name[:40]!r}; there are {known or 'none'}"
            )
        worker.leave()
        return JSONResponse(worker.describe(), 202)


def _admin(request: Request, service: ImageService) -> str | None:
    return service.keys.admin(request.headers.get("authorization")).name
