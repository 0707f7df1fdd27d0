"""One hop to a replica: a connection, a request as it came, an answer as it comes.

httpcore is what httpx is built on; without httpx's models a request costs half as much CPU (bench/load.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any

import httpcore

from inference.gateway.upstreams import Address


CONNECT_SECONDS = 3.0
"""A replica that takes longer to accept is not there."""
SEND_SECONDS = 60.0
"""One that takes nothing of a request for so long is dead."""
IDLE_SECONDS = 30.0
"""A connection idle for longer is not used again; servers keep theirs for 75."""
MOST_IDLE = 64
Headers = list[tuple[bytes, bytes]]
_HOP_BY_HOP = frozenset((
    b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection",
    b"te", b"trailer", b"transfer-encoding", b"upgrade",
))  # fmt: skip
"""They are about one connection and no other: https://www.rfc-editor.org/rfc/rfc9110#field.connection."""
_BROKEN = (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError)


class Unreachable(Exception):  # noqa: N818  (for the next replica to hear, not for a user)
    """No connection was made; the request was not sent."""


class Died(Exception):  # noqa: N818  (for the next replica to hear, not for a user)
    """The connection broke before the answer was whole."""


def end_to_end(headers: Iterable[tuple[bytes, bytes]], *dropped: bytes) -> Headers:
    """Leave out what is about one connection only, what ``Connection`` names, and ``dropped``."""
    headers = [(name.lower(), value) for name, value in headers]
    named = {
        word.strip().lower()
        for name, value in headers
        if name == b"connection"
        for word in value.split(b",")
    }
    gone = _HOP_BY_HOP | named | set(dropped)
    return [(name, value) for name, value in headers if name not in gone]


@dataclass(frozen=True)
class Sending:
    """What is sent: ``headers`` are end to end, with ``host``; ``target`` is path and query."""

    method: str
    target: bytes
    headers: Headers
    body: bytes = b""


class Reply:
    """A replica's answer whose body is still to come."""

    def __init__(self, response: httpcore.Response) -> None:
        self._response = response
        self.status = response.status
        self.headers = response.headers

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes.

        Raises:
            Died: it breaks off.
        """
        try:
            async for chunk in self._response.aiter_stream():
                yield chunk
        except _BROKEN as error:
            raise Died(str(error) or type(error).__name__) from error

    async def read(self, most: int = 2**20) -> bytes:
        """Read the body of a short answer, up to ``most`` bytes.

        Raises:
            Died: it breaks off.
        """
        body = bytearray()
        async for chunk in self.chunks():
            body += chunk
            if len(body) > most:
                break
        return bytes(body[:most])


def json_object(body: bytes) -> dict[str, Any]:
    """Read a JSON object; empty where it is none."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


class Line:
    """The connections to one replica; as many as are in use, and some that wait for the next use."""

    def __init__(self, address: Address, trust: ssl.SSLContext) -> None:
        """Connect to ``address``; over https its certificate must be of an authority of ``trust``."""
        self._origin = httpcore.URL(f"{address}/").origin
        self._host = str(address).partition("//")[2].encode()
        self._ssl = trust if address.scheme == "https" else None
        self._idle: list[httpcore.AsyncHTTPConnection] = []

    @contextlib.asynccontextmanager
    async def ask(self, sending: Sending) -> AsyncIterator[Reply]:
        """Send a request; inside, the answer can be read. Leaving early ends the connection.

        Raises:
            Unreachable: no connection. Died: it broke.
        """
        connection = await self._connection()
        whole = False
        try:
            response = await self._send(connection, sending)
            yield Reply(response)
            await response.aclose()
            whole = connection.is_idle()
        finally:
            if whole and len(self._idle) < MOST_IDLE:
                self._idle.append(connection)
            else:
                await _end(connection)

    async def get(self, path: bytes, seconds: float) -> tuple[int, bytes]:
        """Read a short page; return status and body.

        Raises:
            Unreachable, Died, TimeoutError: there is no answer.
        """
        headers = [(b"host", self._host), (b"user-agent", b"lightmeter-gateway")]
        async with asyncio.timeout(seconds), self.ask(Sending("GET", path, headers)) as reply:
            return reply.status, await reply.read()

    async def _send(
        self, connection: httpcore.AsyncHTTPConnection, sending: Sending
    ) -> httpcore.Response:
        request = httpcore.Request(
            sending.method,
            httpcore.URL(
                scheme=self._origin.scheme,
                host=self._origin.host,
                port=self._origin.port,
                target=sending.target,
            ),
            headers=sending.headers,
            content=sending.body,
            extensions={"timeout": {"connect": CONNECT_SECONDS, "write": SEND_SECONDS}},
        )
        try:
            return await connection.handle_async_request(request)
        except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
            raise Unreachable(str(error) or "no connection") from error
        except _BROKEN as error:
            raise Died(str(error) or type(error).__name__) from error

    async def _connection(self) -> httpcore.AsyncHTTPConnection:
        """Take the connection that was used last and is still good, or a new one."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.has_expired():
                return connection
            await _end(connection)
        return httpcore.AsyncHTTPConnection(
            self._origin, ssl_context=self._ssl, keepalive_expiry=IDLE_SECONDS
        )

    async def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            await _end(self._idle.pop())


async def _end(connection: httpcore.AsyncHTTPConnection) -> None:
    """Close a connection, broken ones too."""
    with contextlib.suppress(*_BROKEN, RuntimeError):
        await connection.aclose()
