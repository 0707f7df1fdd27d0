"""The page's own files and the charting library's, in memory, with what lets a browser keep them."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response


FOLDER = Path(__file__).with_name("page")
_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
CHARTS = Path(__file__).with_name("uplot")
"""uPlot 1.6.32 as it is published on npm, unchanged, with its licence: https://github.com/leeoniya/uPlot."""
_CHARTS = {"uplot.js": "uPlot.iife.min.js", "uplot.css": "uPlot.min.css"}
_SMALL_BYTES = 1000


@dataclass(frozen=True)
class Asset:
    """A file that does not change while we run."""

    data: bytes
    packed: bytes
    """By gzip; empty where that saves nothing."""
    kind: str
    tag: str

    def answer(self, request: Request) -> Response:
        """Answer a GET: 304 where the browser has it already."""
        headers = {"ETag": self.tag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        if self.tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if self.packed and "gzip" in request.headers.get("accept-encoding", ""):
            return Response(self.packed, headers={**headers, "Content-Encoding": "gzip"}, media_type=self.kind)  # fmt: skip
        return Response(self.data, headers=headers, media_type=self.kind)


def asset(data: bytes, suffix: str) -> Asset:
    """Make one of bytes."""
    packed = gzip.compress(data, 9, mtime=0) if len(data) > _SMALL_BYTES else b""
    return Asset(data, packed, _KINDS[suffix], f'"{hashlib.sha256(data).hexdigest()[:16]}"')


def files() -> dict[str, Asset]:
    """Read all files of the page, by name."""
    own = {path.name: asset(path.read_bytes(), path.suffix) for path in FOLDER.iterdir() if path.suffix in _KINDS}  # fmt: skip
    return own | {name: asset((CHARTS / path).read_bytes(), Path(name).suffix) for name, path in _CHARTS.items()}  # fmt: skip
