"""Frames between the API process and a worker: a JSON header, then raw bytes. No pickle.

A frame is two big-endian uint32 lengths, the header, the payload.
"""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any, BinaryIO


if TYPE_CHECKING:
    import asyncio  # the API's side; workers and scorers start 30 ms sooner without

_LENGTHS = struct.Struct(">II")
Header = dict[str, Any]
BEAT, STEP = "beat", "step"
SIGNS_OF_LIFE = (BEAT, STEP)
"""Kinds of frames that answer nothing: the worker lives; a denoise step is done."""
BEAT_SECONDS = 1.0


def pack(header: Header, payload: bytes | memoryview = b"") -> bytes:
    """Build one frame."""
    text = json.dumps(header, separators=(",", ":")).encode()
    return b"".join((_LENGTHS.pack(len(text), len(payload)), text, payload))


async def receive(stream: asyncio.StreamReader) -> tuple[Header, bytes]:
    """Read one frame.

    Raises:
        EOFError: the other side is gone (`asyncio.IncompleteReadError` is one).
    """
    text, payload = _LENGTHS.unpack(await stream.readexactly(_LENGTHS.size))
    header: Header = json.loads(await stream.readexactly(text))
    return header, await stream.readexactly(payload)


def read(stream: BinaryIO) -> Header | None:
    """Read one frame without payload, blocking; None where the other side is gone."""
    frame = read_whole(stream)
    return frame[0] if frame else None


def read_whole(stream: BinaryIO) -> tuple[Header, bytes] | None:
    """Read one frame, blocking; None where the other side is gone."""
    lengths = stream.read(_LENGTHS.size)
    if len(lengths) < _LENGTHS.size:
        return None
    text, payload = _LENGTHS.unpack(lengths)
    header: Header = json.loads(stream.read(text))
    return header, stream.read(payload)
