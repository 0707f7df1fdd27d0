"""Where replicas are: addresses, and names whose addresses come and go."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from lightmeter.errors import SettingError
from lightmeter.units import without_password


_log = logging.getLogger(__name__)
_NAME = re.compile(r"dns:(?P<name>[A-Za-z0-9_.-]{1,253}):(?P<port>\d{1,5})", re.ASCII)
_PORTS = {"http": 80, "https": 443}
_LIKE = "write http://10.0.0.7:7860, or dns:NAME:PORT for every address of a name"
RESOLVE_SECONDS = 5.0
"""A name server that takes longer has said nothing."""
_NO_SUCH = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
"""What a headless service without a pod answers: there is nobody. Any other failure says nothing."""


@dataclass(frozen=True, order=True)
class Address:
    """Where one replica listens."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


@dataclass(frozen=True)
class Name:
    """A name, each of whose addresses is a replica."""

    name: str
    port: int


Upstream = Address | Name


def parse(text: str) -> tuple[Upstream, ...]:
    """Read the list of ``--upstream``.

    Raises:
        SettingError: there is none, or one is no address of a server; naming it.
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        raise SettingError(f"gateway.upstream is empty: it names no server; {_LIKE}")
    found = tuple(map(_parse, words))
    for place, one in enumerate(found):
        if one in found[:place]:
            raise SettingError(f"upstream {words[place]!r} is named twice; name each server once")
    return found


def _parse(word: str) -> Upstream:
    if word.startswith("dns:"):
        match = _NAME.fullmatch(word)
        if match is None or not 0 < int(match["port"]) < 2**16:
            raise SettingError(f"upstream {word!r} is no name with a port; write dns:NAME:PORT")
        return Name(match["name"], int(match["port"]))
    try:
        parts = urlsplit(word)
        port = parts.port
    except ValueError as error:
        raise SettingError(f"upstream {without_password(word)!r} is no address: {error}") from error
    if parts.scheme not in _PORTS or not parts.hostname:
        raise SettingError(f"upstream {without_password(word)!r} is no address; {_LIKE}")
    if "@" in parts.netloc or parts.path.strip("/") or parts.query or parts.fragment:
        raise SettingError(
            f"upstream {without_password(word)!r} has more than a server's address in it; {_LIKE}"
        )
    return Address(parts.scheme, parts.hostname, port or _PORTS[parts.scheme])


class Resolver:
    """Turns upstreams into addresses, again and again."""

    def __init__(self, upstreams: tuple[Upstream, ...]) -> None:
        self._upstreams = upstreams
        self._known: dict[Name, tuple[Address, ...]] = {}

    async def look(self) -> list[Address]:
        """List all addresses, each once. A name that cannot be asked for now keeps those it had."""
        found: dict[Address, None] = {}
        for one in self._upstreams:
            for address in (one,) if isinstance(one, Address) else await self._resolve(one):
                found[address] = None
        return list(found)

    async def _resolve(self, name: Name) -> tuple[Address, ...]:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(RESOLVE_SECONDS):
                lines = await loop.getaddrinfo(name.name, name.port, type=socket.SOCK_STREAM)
        except (OSError, TimeoutError, UnicodeError) as error:
            if not (isinstance(error, socket.gaierror) and error.errno in _NO_SUCH):
                _log.warning("name %s cannot be resolved: %s", name.name, str(error) or "no answer")
                return self._known.get(name, ())
            lines = []
        addresses = sorted({Address("http", str(line[4][0]), name.port) for line in lines})
        if self._known.get(name) != tuple(addresses):
            _log.info("name %s has %d addresses", name.name, len(addresses))
        self._known[name] = tuple(addresses)
        return self._known[name]
