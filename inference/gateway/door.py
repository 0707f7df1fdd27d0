"""Who asks, and what of a request goes on to a replica."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.types import Scope

from inference import links
from inference.gateway.hop import Sending, end_to_end
from inference.keys import ANYONE, Keys, Tenant
from inference.tracing import HEADER, TraceContext


_FORWARDED = (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host")
_PREFIX = (b"x-forwarded-prefix", b"forwarded")
_VIA = b"1.1 lightmeter-gateway"
"""No page can have a browser send this, so a server on loopback knows that its name is not its own."""


@dataclass(frozen=True)
class Caller:
    """Who asks, and from where."""

    tenant: Tenant
    address: str
    trusted: bool
    """Whether the peer is a proxy of ours, whose words on who asks are passed on."""


def caller_of(scope: Scope, keys: Keys, trusted_proxy: str) -> Caller:
    """Tell who asks. Without keys of our own, who sends the same key is the same.

    Raises:
        Unauthorized: a key is asked for.
    """
    headers = Headers(scope=scope)
    key = headers.get("authorization")
    tenant = keys.identify(key)
    if tenant is ANYONE and key is not None:
        tenant = Tenant("key-" + hashlib.blake2b(key.encode(), digest_size=8).hexdigest())
    peer = scope["client"][0] if scope.get("client") else ""
    trusted = links.is_trusted(trusted_proxy, peer)
    return Caller(tenant, links.client_address(headers, peer, trusted_proxy), trusted)


def sending(
    scope: Scope, caller: Caller, trace: TraceContext, body: bytes = b"", *, parent: bool = True
) -> Sending:
    """Say what goes on to a replica: the request as it came, with where it came from.

    The ``Host`` stays the client's, so that addresses in answers are those of the gateway. Without
    a trace of the caller's (``parent``) ours begins one.
    """
    dropped = (b"content-length", b"expect", *(() if parent else (HEADER.encode(), b"tracestate")))
    headers = end_to_end(scope["headers"], *dropped)
    told = dict(headers)
    peer = scope["client"][0] if scope.get("client") else ""
    if caller.trusted:
        before = b", ".join(value for name, value in headers if name == _FORWARDED[0])
        proto, host = told.get(_FORWARDED[1]), told.get(_FORWARDED[2])
        headers = [line for line in headers if line[0] not in _FORWARDED]
    else:
        before, proto, host = b"", None, None
        headers = [line for line in headers if line[0] not in _FORWARDED + _PREFIX]
    way = before + b", " + peer.encode() if before else peer.encode()
    headers += [
        (_FORWARDED[0], way),
        (_FORWARDED[1], proto or scope["scheme"].encode()),
        (_FORWARDED[2], host or told.get(b"host", b"")),
    ]
    if b"host" not in told:
        headers.insert(0, (b"host", b"gateway"))
    headers.append((b"via", _VIA))
    if not parent:
        headers.append((HEADER.encode(), trace.traceparent.encode()))
    if body or scope["method"] in ("POST", "PUT", "PATCH"):
        headers.append((b"content-length", str(len(body)).encode()))
    query = b"?" + scope["query_string"] if scope["query_string"] else b""
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    return Sending(scope["method"], path + query, headers, body)
