"""Whether the server lives, whether it can serve, what it is."""

from __future__ import annotations

import socket
from importlib import metadata
from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from inference.contract import HealthAnswer, ReadyAnswer, VersionAnswer, route
from inference.jobs import replica_name
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

    describe = route(
        "Requests are let in: a worker is ready, or one would be started.",
        ok=ReadyAnswer,
        key=False,
    )
    describe["responses"][503] = {"model": ReadyAnswer, "description": "Requests are turned away."}

    @app.api_route("/readyz", methods=_BOTH, **describe)
    async def readyz() -> JSONResponse:
        states = {state.value: service.pool.count(state) for state in WorkerState}
        door = service.door
        said = {"ready": door.open, "wakes": door.wakes, "workers": states}
        return JSONResponse(said, 200) if door.open else JSONResponse(said, 503, {"Retry-After": "1"})  # fmt: skip

    replica = replica_name(service.settings.replica, socket.gethostname())

    @app.get("/version", **route("What is running.", ok=VersionAnswer, key=False))
    async def version() -> dict[str, Any]:
        return {
            "version": metadata.version("lightmeter"),
            "model": service.model,
            "service": service.name,
            "replica": replica,
        }
