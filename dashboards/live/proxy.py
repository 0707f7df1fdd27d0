"""What of a Prometheus's API the page asks, passed on to one elsewhere: questions only, within bounds."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Callable

import httpx
from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from lightmeter import bodies, secret
from lightmeter.units import without_password


ASKED = re.compile(
    r"/api/v1/(query|query_range|query_exemplars|series|labels|label/[a-zA-Z_:][\w:]*/values|metadata|rules|alerts|targets|status/buildinfo)"
)
"""All that passes. Nothing that writes, deletes or ends is among it."""
LOOK = "/api/v1/status/buildinfo"
QUESTION_BYTES = 1 << 20
ANSWER_BYTES = 64 << 20
SECONDS = 60.0
_ACCEPT, _TYPE, _ENCODING = "accept-encoding", "content-type", "content-encoding"


class Prometheus:
    """An ASGI application that asks the Prometheus at ``url``; the client is the caller's.

    ``tell`` hears once that it cannot be asked, and once that it can be again.
    """

    def __init__(self, client: httpx.AsyncClient, url: str, bearer: str = "", tell: Callable[[str], None] | None = None) -> None:  # fmt: skip
        self._client = client
        self._url = url.rstrip("/")
        self._headers = secret.bearer(bearer)
        self._tell, self._away = tell, False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        answer = await self._answer(Request(scope, receive))
        await answer(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        path = request.scope["path"]
        if not ASKED.fullmatch(path):
            return _refused(404, "not_found", f"{path[:200]} is not passed on: only questions are")
        if request.method not in ("GET", "POST"):
            return _refused(405, "bad_data", f"{request.method} is not passed on: only questions are")  # fmt: skip
        try:
            body = await bodies.read(request, QUESTION_BYTES)
        except (bodies.BodyTooLarge, bodies.BodyTooSlow, ClientDisconnect) as error:
            return _refused(413, "bad_data", str(error) or "the question broke off")
        try:
            return await self._passed(request, body)
        except httpx.TimeoutException:
            return _refused(504, "timeout", f"{self._name} did not answer within {SECONDS:.0f} s; ask for less time or fewer series")  # fmt: skip
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return self._unavailable(f"{self._name} cannot be asked: {str(error) or type(error).__name__}", "start it, or give another address with --prometheus")  # fmt: skip

    async def look(self) -> None:
        """Ask one question, so that an absence is told before anybody opens the page."""
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=self)) as asking:
            await asking.get(f"http://localhost{LOOK}")

    def _unavailable(self, reason: str, advice: str) -> Response:
        self._say(away=True, words=f"{reason}; {advice}. The page goes on and asks again")
        return _refused(502, "unavailable", f"{reason}; {advice}")

    def _say(self, *, away: bool, words: str) -> None:
        if away != self._away and self._tell is not None:
            self._tell(words)
        self._away = away

    @property
    def _name(self) -> str:
        return f"Prometheus at {without_password(self._url)}"

    async def _passed(self, request: Request, body: bytes) -> Response:
        kept = {name: request.headers[name] for name in (_ACCEPT, _TYPE) if name in request.headers}
        target = f"{self._url}{request.scope['path']}"
        asked = self._client.build_request(
            request.method,
            httpx.URL(target, query=request.scope["query_string"]) if request.scope["query_string"] else target,
            content=body,
            headers={_ACCEPT: "identity", **kept, **self._headers},
            timeout=SECONDS,
        )  # fmt: skip
        answer = await self._client.send(asked, stream=True, follow_redirects=False)
        if answer.status_code in (401, 403):
            await answer.aclose()
            return self._unavailable(f"{self._name} wants to know who asks (status {answer.status_code})", "give --bearer-file")  # fmt: skip
        if answer.is_redirect:
            await answer.aclose()
            return self._unavailable(f"{self._name} sends us on to {without_password(answer.headers.get('location', 'nowhere'))[:200]}", "give that address")  # fmt: skip
        self._say(away=False, words=f"{self._name} answers again")
        headers = {name: answer.headers[name] for name in (_TYPE, _ENCODING) if name in answer.headers}  # fmt: skip
        return StreamingResponse(_bounded(answer), answer.status_code, headers, background=BackgroundTask(answer.aclose))  # fmt: skip


async def _bounded(answer: httpx.Response) -> AsyncIterator[bytes]:
    """Pass an answer on as it comes. One that is too long or breaks off is no JSON then, which the page says."""
    passed = 0
    with contextlib.suppress(httpx.HTTPError):
        async for chunk in answer.aiter_raw():
            passed += len(chunk)
            if passed > ANSWER_BYTES:
                return
            yield chunk


def _refused(status: int, kind: str, reason: str) -> Response:
    """Say it as Prometheus would, so that Grafana and the page show it."""
    return JSONResponse({"status": "error", "errorType": kind, "error": reason}, status)
