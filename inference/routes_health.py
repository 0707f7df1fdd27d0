"""Whether the server lives, whether it can serve, what it is."""

from __future__ import annotations

from importlib import metadata
from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from inference.contract import HealthAnswer, ReadyAnswer, VersionAnswer, route
from inference.service import ImageService
from lightmeter.catalog import WorkerState


_BOTH = ["GET", "HEAD"]


def add(app: FastAPI, service: ImageService) -> None:
    """Add ``/healthz``, ``/readyz`` and ``/version``; they ask for no key."""

    @app.api_route(
        "/healthz", methods=_BOTH, **route("The process lives.", ok=HealthAnswer, key=False)
    )
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    describe = route("The model is loaded and a worker is ready.", ok=ReadyAnswer, key=False)
    describe["responses"][503] = {"model": ReadyAnswer, "description": "No worker is ready."}

    @app.api_route("/readyz", methods=_BOTH, **describe)
    async def readyz() -> JSONResponse:
        states = {state.value: service.pool.count(state) for state in WorkerState}
        ready = service.pool.able > 0 and not service.door.draining
        headers = {} if ready else {"Retry-After": "1"}
        return JSONResponse({"ready": ready, "workers": states}, 200 if ready else 503, headers)

    @app.get("/version", **route("What is running.", ok=VersionAnswer, key=False))
    async def version() -> dict[str, Any]:
        return {
            "version": metadata.version("lightmeter"),
            "model": service.model,
            "service": service.name,
        }
