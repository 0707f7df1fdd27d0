"""``POST /v1/feedback``: what a user thought of a picture."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request

from inference.contract import READING, RatingAnswer, route
from inference.feedback import Feedback, RatingRequest
from inference.service import ImageService
from lightmeter import bodies


_WRONG = (401, 404, *READING, 503, 504)


def add(app: FastAPI, service: ImageService, feedback: Feedback) -> None:
    """Add the route."""

    @app.post(
        "/v1/feedback",
        **route("Rate a request.", *_WRONG, ok=RatingAnswer, takes=RatingRequest),
    )
    async def rate(request: Request) -> dict[str, Any]:
        service.keys.identify(request.headers.get("authorization"))
        rating = await feedback.rate(await bodies.read(request))
        return {"request_id": rating.request_id, "score": rating.score, "tags": rating.tags}
