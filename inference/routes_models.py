"""``GET /v1/models``: the one model served, for clients that ask before they begin."""

from __future__ import annotations

import time
from typing import Any

from fastapi import FastAPI, Request

from inference.service import ImageService
from lightmeter.errors import InputError


class UnknownModel(InputError):  # noqa: N818  (an answer, not a fault)
    """Another model was asked for."""


def add(app: FastAPI, service: ImageService) -> None:
    """Add the routes."""
    model = {
        "id": service.model,
        "object": "model",
        "created": int(time.time()),
        "owned_by": service.name,
    }

    @app.get("/v1/models", summary="The models served: one.")
    async def models(request: Request) -> dict[str, Any]:
        service.keys.identify(request.headers.get("authorization"))
        return {"object": "list", "data": [model]}

    @app.get("/v1/models/{name:path}", summary="One model.")
    async def one(request: Request, name: str) -> dict[str, Any]:
        service.keys.identify(request.headers.get("authorization"))
        if name != service.model:
            raise UnknownModel(f"this server serves {service.model!r}, not {name[:80]!r}")
        return model
