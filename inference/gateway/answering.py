"""An answer on its way to a client: as it comes from a replica, or one of our own."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Sequence
from typing import Any

from starlette.types import Send

from inference import answers
from inference.app import problem
from inference.gateway.hop import Headers, Reply, end_to_end, json_object
from inference.tracing import HEADER
from lightmeter.catalog import Outcome
from lightmeter.errors import LightmeterError


_log = logging.getLogger(__name__)
_NAMED = re.compile(rb"img_[0-9a-f]{24}")
_SCANNED = 4096
"""Bytes of each chunk that are looked through for names; a picture's own bytes are not."""
_STREAM = b"text/event-stream"
_STATUSES = {408: Outcome.INVALID, 429: Outcome.SHED, 499: Outcome.CANCELLED, 502: Outcome.ANOMALOUS,
             503: Outcome.SHED, 504: Outcome.TIMEOUT, 507: Outcome.OOM}  # fmt: skip


def outcome_of(status: int) -> Outcome:
    """Name how a request ended that was answered so."""
    if status in _STATUSES:
        return _STATUSES[status]
    if status < 400:  # noqa: PLR2004  (errors begin there)
        return Outcome.OK
    return Outcome.INVALID if status < 500 else Outcome.ERROR  # noqa: PLR2004  (the server's own)


class Broken(Exception):  # noqa: N818  (the connection to the client says the rest)
    """An answer broke off that cannot be mended: the client must see that it is not whole."""


class Answering:
    """One answer. What was sent cannot be taken back; a stream of comments alone can go on elsewhere."""

    def __init__(self, send: Send, extra: Headers) -> None:
        self._send, self._extra = send, extra
        self.status = 0
        """Of the answer; in a stream that of the error which ended it."""
        self.begun = self.told = False
        """Whether the first byte left; whether anything but comments of a stream did."""
        self.over = False
        """Whether the last byte left."""
        self._streams = False
        self.names: set[str] = set()
        """Ids of requests and pictures in it."""

    async def pass_on(self, reply: Reply) -> None:
        """Send a replica's answer as it comes, and end.

        Raises:
            Died: the replica broke off; where nothing was told, another one may go on.
            Broken: an answer had begun that this one cannot go on with.
        """
        headers = end_to_end(reply.headers, b"date", b"server")
        streams = dict(headers).get(b"content-type", b"").startswith(_STREAM)
        if self.begun and not streams:
            await self.fail(reply.status, error_of(await reply.read()), after=_after(headers))
            return
        if not self.begun:
            await self._begin(reply.status, headers, traced=HEADER.encode() in dict(headers))
        self._streams = streams
        async for chunk in reply.chunks():
            self._look(chunk)
            await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
        await self._end(b"")

    def _look(self, chunk: bytes) -> None:
        self.names.update(name.decode() for name in _NAMED.findall(chunk[:_SCANNED]))
        if self._streams and chunk.startswith(b"event: error"):
            self.status = _status(chunk)
        self.told = self.told or not (self._streams and chunk.startswith(b":"))

    async def fail(
        self,
        status: int,
        body: dict[str, Any],
        headers: Sequence[tuple[bytes, bytes]] = (),
        *,
        after: str | None = None,
    ) -> None:
        """Answer with an error: as an answer, or as the end of a stream; ``after`` is Retry-After.

        Raises:
            Broken: the answer has begun and is no stream.
        """
        if not self.begun:
            data = json.dumps(body).encode()
            own = [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(data)).encode()),
                *([(b"retry-after", after.encode())] if after else ()),
            ]
            await self._begin(status, [*own, *headers])
        elif self._streams:
            data = answers.failure(body, status, after if after and after.isdecimal() else None)
            self.status = status
        else:
            self.status = status
            raise Broken
        await self._end(data)

    async def refuse(self, error: Exception) -> None:
        """Answer with one of our own errors.

        Raises:
            Broken: the answer has begun and is no stream.
        """
        if not isinstance(error, LightmeterError):
            _log.error("a request failed", exc_info=error)
        status, body, headers = problem(error)
        after = headers.pop("Retry-After", None)
        own = [(name.lower().encode(), text.encode()) for name, text in headers.items()]
        await self.fail(status, body, own, after=after)

    async def _begin(self, status: int, headers: Headers, *, traced: bool = False) -> None:
        self.begun, self.status = True, status
        lines = headers if traced else [*headers, *self._extra]
        await self._send({"type": "http.response.start", "status": status, "headers": lines})

    async def _end(self, data: bytes) -> None:
        self.over = True
        await self._send({"type": "http.response.body", "body": data})


def _after(headers: Headers) -> str | None:
    return next(
        (value.decode("latin-1") for name, value in headers if name == b"retry-after"), None
    )


def _status(event: bytes) -> int:
    try:
        return int(json.loads(event.partition(b"data: ")[2])["status"])
    except (ValueError, KeyError, TypeError):
        return 500


def error_of(body: bytes) -> dict[str, Any]:
    """Read the body of an error; where it is none of ours, make one."""
    none = {
        "message": "no answer of a server",
        "type": "server_error",
        "param": None,
        "code": "502",
    }
    return json_object(body) or {"error": none}
