"""A small HTTP server on the loop of the test, which answers as it is told."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


Respond = Callable[["Request"], Awaitable["Reply | None"]]


PICTURE = json.dumps({"data": [{"b64_json": "aGk="}]}).encode()


@dataclass(frozen=True)
class Reply:
    """What to answer."""

    status: int = 200
    body: bytes = PICTURE
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """What came in: its number from 0 on, path, headers in lower case, body."""

    number: int
    path: str
    headers: dict[str, str]
    body: bytes


class Endpoint:
    """An address, what was asked there, and how often somebody connected."""

    def __init__(self, respond: Respond, told: Mapping[str, Any]) -> None:
        """Answer what ``respond`` says, None hanging up; ``told`` is answered to GET, by path."""
        self._respond = respond
        self._told = told
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None] | None] = set()
        self.asked: list[Request] = []
        self.connections = 0
        self.url = ""

    async def open(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def close(self) -> None:
        """Listen no more, and hang up after what is asked meanwhile."""
        if self._server:
            self._server.close()
        self._server = None

    async def ended(self) -> None:
        """Wait until every connection is closed."""
        await asyncio.gather(*(task for task in self._serving if task))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection until it ends."""
        self.connections += 1
        self._serving.add(asyncio.current_task())
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while await self._answer(reader, writer):
                pass
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        self._serving.discard(asyncio.current_task())

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        pairs = (line.split(": ", 1) for line in lines if line)
        headers = {name.lower(): value for name, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        posts = sum(one.body != b"" for one in self.asked)
        request = Request(posts, first.split(" ")[1], headers, body)
        self.asked.append(request)
        reply = await self._respond(request) if body else self._tell(request.path)
        if reply is None or self._server is None:
            return False
        more = {"content-length": str(len(reply.body)), **reply.headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in more.items())
        writer.write(f"HTTP/1.1 {reply.status} So\r\n{head}\r\n".encode() + reply.body)
        await writer.drain()
        return more.get("connection") != "close"

    def _tell(self, path: str) -> Reply:
        known = path in self._told
        return Reply(200 if known else 404, json.dumps(self._told.get(path)).encode())


@contextlib.asynccontextmanager
async def endpoint(
    respond: Respond, told: Mapping[str, Any] | None = None
) -> AsyncIterator[Endpoint]:
    """Serve for a while."""
    found = Endpoint(respond, told or {})
    await found.open()
    try:
        yield found
    finally:
        found.close()
        await found.ended()
