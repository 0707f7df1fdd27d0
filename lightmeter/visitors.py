"""Requests that nobody meant: what a page of another site has a browser send, and what proxies read in two ways.

A browser asks whatever a page tells it to, this machine too. Across sites it says so: by
``Sec-Fetch-Site``, or by ``Origin`` where we are asked without TLS. A page that has its own name
lead to 127.0.0.1 (DNS rebinding) is of our site to the browser, and shows itself by that name in
``Host`` alone. See https://fetch.spec.whatwg.org/#http-sec-fetch-site, https://words.filippo.io/csrf/.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from lightmeter.listening import LOOPBACK
from lightmeter.section import Secured


ANY = "*"
SAFE = ("GET", "HEAD", "OPTIONS")
_OURS = ("same-origin", "none")
_PRIVATE = (".localhost", ".internal")
"""Domains that nobody can register: https://www.rfc-editor.org/rfc/rfc6761, and ICANN's for private use."""


@dataclass(frozen=True)
class Refusal:
    """Why a request is not answered."""

    status: int
    reason: str


def refusal(method: str, headers: Mapping[bytes, bytes], names: frozenset[str]) -> Refusal | None:
    """Say whether, and why, a request is refused; ``names`` are the hosts we go by, or `ANY`."""
    if b"transfer-encoding" in headers and b"content-length" in headers:
        return Refusal(400, "a body has one length: send Content-Length or Transfer-Encoding")
    host = headers.get(b"host", b"").decode("latin-1")
    if ANY not in names and b"via" not in headers and not known(host, names):
        return Refusal(421, f"host {host[:80]!r} is no name of this address; ask 127.0.0.1, or name it in allowed_hosts")  # fmt: skip
    keyed = (
        headers.get(b"authorization", b"")[:7].lower() == b"bearer "
    )  # no browser sends it by itself
    if method not in SAFE and not keyed and not _same(headers, names | {host}):
        return Refusal(403, "pages of other sites may not ask without a key")
    return None


def known(host: str, names: frozenset[str]) -> bool:
    """Say whether a Host header names us, or what no page on the internet can be called."""
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return False
    return name in names or "." not in name or name.endswith(_PRIVATE) or _address(name)


def _address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _same(headers: Mapping[bytes, bytes], hosts: frozenset[str]) -> bool:
    """Say whether a request comes from a page of ours, which has one of these hosts, or from no browser at all."""
    site = headers.get(b"sec-fetch-site")
    if site is not None:
        return site.decode("latin-1") in _OURS
    origin = headers.get(b"origin")
    return origin is None or origin.decode("latin-1").partition("://")[2] in hosts


def names_of(settings: Secured) -> frozenset[str]:
    """List the names that a listener goes by: beyond loopback, and behind a trusted proxy, any."""
    told = settings.model_dump()
    everywhere = told["host"] not in LOOPBACK or told.get("trusted_proxy")
    public = urlsplit(told.get("public_url") or "").hostname or ""
    names = (*settings.allowed_hosts.lower().split(","), public, ANY if everywhere else "")
    return frozenset(filter(None, map(str.strip, names)))


class Visitors:
    """ASGI middleware that answers such requests itself; nothing of the application sees them."""

    def __init__(self, app: ASGIApp, names: frozenset[str]) -> None:
        self.app, self._names = app, names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "http":
            refused = refusal(scope["method"], dict(scope["headers"]), self._names)
            if refused:
                await _refuse(send, refused)
                return
        await self.app(scope, receive, send)


async def _refuse(send: Send, refused: Refusal) -> None:
    """Answer in the form of OpenAI's errors, and hang up: what follows on the connection is not believed."""
    told: dict[str, Any] = {"message": refused.reason, "type": "permission_denied", "param": None, "code": str(refused.status)}  # fmt: skip
    body = json.dumps({"error": told}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), (b"connection", b"close")]  # fmt: skip
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def guarded(app: ASGIApp, settings: Secured) -> Visitors:
    """Put it in front of what a command serves."""
    return Visitors(app, names_of(settings))
