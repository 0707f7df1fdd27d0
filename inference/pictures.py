"""Pixels to files. The same pixels give the same bytes: no time, seed or prompt is written in."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from typing import Any

import numpy as np
from PIL import Image

from inference.engine import Pixels


_OPTIONS: dict[str, dict[str, Any]] = {
    # Level 1 costs 12 % in bytes and saves 70 % of the time of level 6 (measured 2026-11, 1024 px).
    "png": {"format": "PNG", "compress_level": 1},
    "jpeg": {"format": "JPEG", "quality": 90},
    "webp": {"format": "WEBP", "quality": 90, "method": 0},
}


def from_bytes(payload: bytes | memoryview, shape: tuple[int, ...]) -> Pixels:
    """View a worker's payload as (images, height, width, 3) uint8."""
    return np.frombuffer(payload, dtype=np.uint8).reshape(shape)


def encode(pixels: Iterable[Pixels], output_format: str) -> list[bytes]:
    """Encode pictures, each (height, width, 3) uint8, as files."""
    return [_file(picture, output_format) for picture in pixels]


def encode_text(pixels: Iterable[Pixels], output_format: str) -> list[str]:
    """Encode pictures as `encode` does, and the files as base64 text."""
    return [base64.b64encode(file).decode() for file in encode(pixels, output_format)]


def _file(picture: Pixels, output_format: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, **_OPTIONS[output_format])
    return buffer.getvalue()
