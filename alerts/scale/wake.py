"""``POST /v1/wake``: whoever holds requests that nobody can serve has the scaler decide at once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from alerts.scale.scaler import Scaler
from alerts.scale.told import parse
from alerts.webhook import UNAUTHORIZED, Webhook
from lightmeter import bodies
from lightmeter.errors import SettingError, WebhookError


PATH = "/v1/wake"
_TOLD = ("id", "from", "to", "action", "chosen_term", "reason", "mode", "result")


_WRONG: dict[type[Exception], int] = {
    WebhookError: 422,
    bodies.BodyTooLarge: 413,
    bodies.BodyTooSlow: 408,
    SettingError: 503,
    ClientDisconnect: 499,
}
"""Status of each thing that can be wrong; the token file may be, too."""


class Wake:
    """The route; ``webhook`` knows the tokens."""

    def __init__(self, scaler: Scaler, webhook: Webhook) -> None:
        self._scaler, self._webhook = scaler, webhook
        self._one = asyncio.Lock()
        """However many ask at once, they take one thread."""

    @property
    def route(self) -> Route:
        """Make the route."""
        return Route(PATH, self.post, methods=["POST"])

    async def post(self, request: Request) -> Response:
        """Decide at once; answer with the decision and when the first replica is expected."""
        try:
            if not self._webhook.admits(request):
                return _refused(401, UNAUTHORIZED)
            readings = parse(await bodies.read(request))
        except tuple(_WRONG) as error:
            return _refused(_WRONG[type(error)], error)
        async with self._one:
            record = await asyncio.to_thread(self._scaler.wake, readings)
        if record is None:
            return _refused(503, f"nothing is decided here: {self._scaler.lease.holder} scales this target, or the decision cannot be written down")  # fmt: skip
        return JSONResponse(self._answer(record))

    def _answer(self, record: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "decision": {name: record[name] for name in _TOLD},
            "cold_start_seconds": self._scaler.cold_start,
            "remaining_seconds": self._scaler.remaining(),
        }


def _refused(status: int, reason: object) -> Response:
    return JSONResponse({"error": str(reason)}, status)
