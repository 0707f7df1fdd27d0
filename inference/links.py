"""Under which address a client reached us: the beginning of the URLs in our answers."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping

from lightmeter.settings import Serve, networks


_HOST = re.compile(r"([A-Za-z0-9_.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:\d{1,5})?", re.ASCII)
_PREFIX = re.compile(r"(/[\w.~-]+)*", re.ASCII)
_SCHEMES = ("http", "https")
ANYONE = "*"


def base_url(settings: Serve, headers: Mapping[str, str], *, peer: str | None, own: str) -> str:
    """Name the server as its client does, without a trailing slash.

    ``serve.public_url`` wins; then the forwarded headers, if the ``peer`` is the trusted proxy;
    then the Host header, which harms only who sent it; then ``own``, our own address as host:port.
    Header names are lower case.
    """
    if settings.public_url:
        return settings.public_url.rstrip("/")
    scheme, host, prefix = "http", headers.get("host", ""), ""
    if is_trusted(settings.trusted_proxy, peer):
        scheme = _first(headers, "x-forwarded-proto") or scheme
        host = _first(headers, "x-forwarded-host") or host
        prefix = _first(headers, "x-forwarded-prefix").rstrip("/")
    if scheme not in _SCHEMES or not _HOST.fullmatch(host) or not _PREFIX.fullmatch(prefix):
        return f"http://{own}"
    return f"{scheme}://{host}{prefix}"


def client_address(headers: Mapping[str, str], peer: str, trusted: str) -> str:
    """Tell who asks: the ``peer``, or whom trusted proxies name, the last that is none of them."""
    hops = [hop.strip() for hop in headers.get("x-forwarded-for", "").split(",") if hop.strip()]
    address = peer
    while hops and is_trusted(trusted, address):
        address = hops.pop()
    return address


def is_trusted(trusted: str, peer: str | None) -> bool:
    """Tell whether a peer's address is among the trusted ones: addresses, networks or ``*``."""
    if trusted == ANYONE:
        return True
    try:
        address = ipaddress.ip_address(peer or "")
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return any(mapped in network for network in networks(trusted))


def _first(headers: Mapping[str, str], name: str) -> str:
    return headers.get(name, "").partition(",")[0].strip()
