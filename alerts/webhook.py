"""Takes Alertmanager's messages: ``POST /v1/alerts``.

What Alertmanager does with an answer: 2xx is delivered; 5xx is tried again, four times in 6 s; 4xx
is given up, 408 and 429 too, and comes with the next repetition (measured 2026-11, version 0.25).
So 4xx is for what will never be good, and 503 for what may be good later, a slow body too.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from alerts import levels
from alerts.levels import Bounds, Known, Level
from lightmeter import bodies, catalog, secret
from lightmeter.catalog import AlertResult, Metric, PostResult
from lightmeter.errors import OutsideError, SettingError, WebhookError


_log = logging.getLogger(__name__)
PATH = "/v1/alerts"
VERIFIED = "certificate_verified"
"""In a request's state: whether its sender showed a certificate of our authority."""
BODY_BYTES = 1 << 20
"""A group of a thousand alerts takes about as much."""
LEAST_TOKEN_CHARACTERS = 16
UNAUTHORIZED = "send 'Authorization: Bearer TOKEN' with a token of the scaler's token file, or show a certificate of its authority"


class Holder(Protocol):
    """Whoever acts on the levels that hold."""

    def hold(self, levels: tuple[Level, ...]) -> None:
        """Take over all levels that hold now; those said before and not now are over.

        Between two messages a level lapses by itself at its ``until``.

        Raises:
            OutsideError: not possible now; Alertmanager tries again.
        """
        ...


class Webhook:
    """Keeps what Alertmanager told, and hands over what holds.

    Raises:
        SettingError: the file of tokens cannot be used.
    """

    def __init__(
        self,
        holder: Holder,
        *,
        bounds: Bounds,
        token_file: Path | None,
        registry: CollectorRegistry,
        clock: Callable[[], float] = time.time,
        certificates: bool = False,
    ) -> None:
        """Without ``token_file`` and ``certificates`` anybody may post; ``clock`` tells Unix seconds."""
        self._holder, self._bounds, self._clock = holder, bounds, clock
        self._token_file, self._certificates = token_file, certificates
        if token_file:
            tokens(token_file)
        self._posts = _counter(catalog.WEBHOOK_POSTS, registry)
        self._alerts = _counter(catalog.WEBHOOK_ALERTS, registry)
        self.known = Known()

    @property
    def app(self) -> Starlette:
        """Make the ASGI application; its one route can stand beside others as well."""
        return Starlette(routes=[self.route])

    @property
    def route(self) -> Route:
        """Make the route."""
        return Route(PATH, self.post, methods=["POST"])

    async def post(self, request: Request) -> Response:
        """Take one message."""
        try:
            if not self.admits(request):
                return self._refuse(401, PostResult.UNAUTHORIZED, UNAUTHORIZED)
            body = await bodies.read(request, BODY_BYTES)
            return self._take(levels.parse(body))
        except WebhookError as error:
            return self._refuse(400, PostResult.INVALID, error)
        except bodies.BodyTooLarge as error:
            return self._refuse(413, PostResult.TOO_LARGE, error)
        except (OutsideError, SettingError, bodies.BodyTooSlow) as error:
            return self._refuse(503, PostResult.UNAVAILABLE, error)
        except ClientDisconnect:
            return self._refuse(503, PostResult.UNAVAILABLE, "the sender went away")

    def _take(self, message: levels.Message) -> Response:
        """Enter a message; what the holder does not take is not known, and will be said again."""
        now = self._clock()
        taken = levels.take(self.known, message, now=now, bounds=self._bounds)
        self._holder.hold(taken.known.at(now))
        self.known = taken.known
        for result, count in taken.results.items():
            self._alerts.labels(result).inc(count)
        self._posts.labels(PostResult.TAKEN).inc()
        _tell(taken)
        return JSONResponse({result: taken.results[result] for result in AlertResult})

    def admits(self, request: Request) -> bool:
        """Tell whether a request comes with a token, or with a certificate of our authority."""
        shown = self._certificates and request.scope.get("state", {}).get(VERIFIED, False)
        return bool(shown) or self.allowed(request.headers.get("authorization", ""))

    def allowed(self, authorization: str) -> bool:
        """Tell whether a header carries a token. Compare with each token in constant time; the file is read again, so tokens can change."""
        if self._token_file is None:
            return not self._certificates
        scheme, _, token = authorization.partition(" ")
        given = _digest(token.strip())
        found = [hmac.compare_digest(given, known) for known in tokens(self._token_file)]
        return any(found) and scheme.lower() == "bearer"

    def _refuse(self, status: int, result: PostResult, reason: Exception | str) -> Response:
        self._posts.labels(result).inc()
        if result is not PostResult.UNAUTHORIZED:
            _log.warning("message of Alertmanager not taken: %s", reason)
        headers = {"www-authenticate": "Bearer"} if result is PostResult.UNAUTHORIZED else None
        return JSONResponse({"error": str(reason)}, status, headers)


def tokens(path: Path) -> tuple[bytes, ...]:
    """Read the tokens, one in each line, as digests; two while a token is being changed.

    Raises:
        SettingError: naming the file and what is wrong, never a token.
    """
    found = secret.lines(path)
    if not found or min(map(len, found)) < LEAST_TOKEN_CHARACTERS:
        raise SettingError(f"token file {str(path)!r} must hold a token of {LEAST_TOKEN_CHARACTERS} characters or more; make one with `openssl rand -hex 32`")  # fmt: skip
    return tuple(map(_digest, found))


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def _counter(metric: Metric, registry: CollectorRegistry) -> Counter:
    """Make a counter with all of its series, so that none appears late."""
    counter = Counter(metric.name, metric.help, metric.labels, registry=registry)
    for value in dict(metric.vocabulary)["result"]:
        counter.labels(value)
    return counter


def _tell(taken: levels.Taken) -> None:
    """Write down what changed; what only repeats is not told."""
    for word, changed in (("began", taken.began), ("ended", taken.ended), ("lapsed", taken.lapsed)):
        for level in changed:
            _log.info("alert %s: %s", word, level.labels.get("alertname", level.fingerprint))
    if taken.results[AlertResult.TRUNCATED]:
        _log.warning("Alertmanager left %d alerts out of its message: set max_alerts to 0", taken.results[AlertResult.TRUNCATED])  # fmt: skip
