"""``/``: the small web page. It loads nothing from elsewhere, and its policy forbids that it could."""

from __future__ import annotations

import hashlib
from pathlib import Path

from fastapi import FastAPI, Request, Response


_FOLDER = Path(__file__).with_name("page")
_KINDS = {
    "index.html": "text/html; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; connect-src 'self'; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


def add(app: FastAPI) -> None:
    """Add the page and its files."""
    _add_file(app, "/", "index.html")
    for name in _KINDS:
        _add_file(app, f"/page/{name}", name)


def _add_file(app: FastAPI, path: str, name: str) -> None:
    data = (_FOLDER / name).read_bytes()
    headers = _HEADERS | {"ETag": f'"{hashlib.sha256(data).hexdigest()[:16]}"'}

    @app.api_route(path, methods=["GET", "HEAD"], include_in_schema=False)
    async def file(request: Request) -> Response:
        if headers["ETag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(data, headers=headers, media_type=_KINDS[name])
