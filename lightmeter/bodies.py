"""Request bodies, read within bounds of size and time."""

from __future__ import annotations

import asyncio
import time

from starlette.requests import Request

from lightmeter.errors import InputError


BODY_SECONDS = 30.0
"""A client that takes longer to send its request is not waited for."""
SMALL_BYTES = 16_384
"""Enough for everything but a request for pictures."""


_reading: set[asyncio.Timeout] = set()


class BodyTooLarge(InputError):  # noqa: N818  (an answer, not a fault)
    """The body exceeds the limit."""


class BodyTooSlow(InputError):  # noqa: N818  (an answer, not a fault)
    """The body did not come in time."""


async def read(request: Request, most_bytes: int = SMALL_BYTES) -> bytes:
    """Read a request's body.

    Raises:
        BodyTooLarge: as soon as that is known. BodyTooSlow: it did not come in time.
        ClientDisconnect: the client went away.
    """
    began, limit = time.monotonic(), asyncio.timeout(BODY_SECONDS)
    _reading.add(limit)
    try:
        async with limit:
            body = await _read(request, most_bytes)
    except TimeoutError as error:
        seconds = time.monotonic() - began
        raise BodyTooSlow(f"no whole body came within {seconds:.0f} s") from error
    finally:
        _reading.discard(limit)
    if body is None:
        raise BodyTooLarge(f"the body is larger than {most_bytes} bytes")
    return body


def stop_reading() -> None:
    """Wait no longer for the rest of any body: the server ends."""
    for limit in list(_reading):
        limit.reschedule(0.0)


async def _read(request: Request, most_bytes: int) -> bytes | None:
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > most_bytes:
        return None
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most_bytes:
            return None
    return bytes(body)
