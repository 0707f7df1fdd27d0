"""The HTTP client: one request, one connection, times taken around nothing else.

httpcore is what httpx is built on; without httpx's models a request costs half as much CPU (bench/load.py).
"""

from __future__ import annotations

import asyncio
import email.utils
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import httpcore

from inference.load import facts
from lightmeter.errors import ServerError, SettingError


IDLE_SECONDS = 2.0
"""Connections idle for longer are not used again: servers close theirs after 5 s (uvicorn) or more."""
ROUTE = "/v1/images/generations"
OK, NO_ANSWER = 200, 0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the status, or 0 and the problem where nothing whole did."""

    status: int
    body: bytes = b""
    retry_after: float | None = None
    """Seconds that the server asks to wait, where it does."""
    problem: str | None = None


@dataclass(frozen=True)
class Endpoint:
    """Where pictures are made."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def root(self) -> str:
        """The path before ``/v1``, where there is one."""
        return self.path.removesuffix(ROUTE) if self.path.endswith(ROUTE) else ""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"


def parse_endpoint(url: str) -> Endpoint:
    """Read the address of a server, of its ``/v1``, or of the images endpoint itself.

    Raises:
        SettingError: it is no http(s) address, or has a user or key in it.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise SettingError(f"url {url!r} is no address: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingError(f"url {url!r} is no address; write it like http://127.0.0.1:7860")
    if "@" in parts.netloc or parts.query:
        raise SettingError("url has a user, key or query in it; give keys with --api-key-file")
    path = parts.path.rstrip("/")
    if not path.endswith("/images/generations"):
        path = path.removesuffix("/v1") + ROUTE
    return Endpoint(
        parts.scheme, parts.hostname, port or {"http": 80, "https": 443}[parts.scheme], path
    )


class Client:
    """Sends requests to one endpoint over as many connections as are needed at a time."""

    def __init__(
        self, endpoint: Endpoint, *, timeout_seconds: float, key: str | None = None
    ) -> None:
        """Prepare; nothing is sent. ``timeout_seconds`` is from the first byte out to the last in."""
        self.endpoint = endpoint
        self.open = 0
        """Requests that are under way."""
        self.timeout_seconds = timeout_seconds
        self._url = httpcore.URL(str(endpoint))
        self._ssl = ssl.create_default_context() if endpoint.scheme == "https" else None
        self._idle: list[httpcore.AsyncHTTPConnection] = []
        host = str(endpoint).split("/")[2]
        self._headers = [
            ("host", host),
            ("accept", "application/json"),
            ("user-agent", "lightmeter-load"),
        ]
        if key:
            self._headers.append(("authorization", f"Bearer {key}"))

    async def make(self, body: bytes) -> Answer:
        """Ask for pictures. Never raises for what the server or the network does."""
        headers = [("content-type", "application/json"), ("content-length", str(len(body)))]
        return await self._send(
            httpcore.Request("POST", self._url, headers=self._headers + headers, content=body)
        )

    async def get(self, path: str) -> Answer:
        """Read another address of the same server."""
        url = httpcore.URL(
            scheme=self._url.scheme, host=self._url.host, port=self._url.port, target=path.encode()
        )
        return await self._send(httpcore.Request("GET", url, headers=self._headers))

    async def _send(self, request: httpcore.Request) -> Answer:
        connection = await self._connection()
        whole = False
        self.open += 1
        try:
            async with asyncio.timeout(self.timeout_seconds):
                response = await connection.handle_async_request(request)
                body = await response.aread()
                await response.aclose()
            whole = True
        except TimeoutError:
            return Answer(NO_ANSWER, problem=f"no answer within {self.timeout_seconds:g} s")
        except httpcore.ConnectError:
            return Answer(NO_ANSWER, problem="no connection")
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError):
            return Answer(NO_ANSWER, problem="the connection broke")
        finally:
            self.open -= 1
            if whole and connection.is_idle():
                self._idle.append(connection)
            else:
                await connection.aclose()
        return Answer(response.status, body, retry_after(response.headers))

    async def _connection(self) -> httpcore.AsyncHTTPConnection:
        """Take the connection that was used last and is still good, or a new one."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.has_expired():
                return connection
            await connection.aclose()
        return httpcore.AsyncHTTPConnection(
            self._url.origin, ssl_context=self._ssl, keepalive_expiry=IDLE_SECONDS
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close what is idle."""
        for connection in self._idle:
            await connection.aclose()


def retry_after(headers: list[tuple[bytes, bytes]]) -> float | None:
    """Read Retry-After: seconds, or a date (https://www.rfc-editor.org/rfc/rfc9110#field.retry-after)."""
    text = next(
        (value.decode("latin-1") for name, value in headers if name.lower() == b"retry-after"), ""
    )
    if text.strip().isdecimal():
        return float(text)
    try:
        at = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (at.astimezone(UTC) - datetime.now(UTC)).total_seconds())


async def served_model(client: Client) -> str | None:
    """Ask which model is served; None where the server does not say.

    Raises:
        ServerError: there is no server.
    """
    for path, place in (("/version", ("model",)), ("/v1/models", ("data", 0, "id"))):
        answer = await client.get(client.endpoint.root + path)
        if answer.problem:
            raise ServerError(
                f"server {client.endpoint} cannot be reached ({answer.problem}); is it running? name another with --url"
            )
        name = facts.dig(facts.parse(answer.body), *place) if answer.status == OK else None
        if isinstance(name, str):
            return name
    return None
