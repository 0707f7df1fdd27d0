"""``GET /v1/models``: the one model served, and its LoRAs, for clients that ask before they begin."""

from __future__ import annotations

import time
from typing import Any

from fastapi import FastAPI, Request

from inference import loras
from inference.contract import ModelFacts, ModelsAnswer, route
from inference.service import ImageService
from lightmeter.errors import InputError


class UnknownModel(InputError):  # noqa: N818  (an answer, not a fault)
    """Another model was asked for."""


def add(app: FastAPI, service: ImageService) -> None:
    """Add the routes."""
    began = int(time.time())

    def model() -> dict[str, Any]:
        folder = service.settings.loras
        return {
            "id": service.model,
            "object": "model",
            "created": began,
            "owned_by": service.name,
            "loras": loras.names(folder) if folder else [],
        }

    @app.get("/v1/models", **route("The models served: one.", 401, ok=ModelsAnswer))
    def models(request: Request) -> dict[str, Any]:
        service.keys.identify(request.headers.get("authorization"))
        return {"object": "list", "data": [model()]}

    @app.get("/v1/models/{name:path}", **route("One model.", 401, 404, ok=ModelFacts))
    def one(request: Request, name: str) -> dict[str, Any]:
        service.keys.identify(request.headers.get("authorization"))
        if name != service.model:
            raise UnknownModel(f"this server serves {service.model!r}, not {name[:80]!r}")
        return model()
