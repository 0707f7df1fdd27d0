"""``GET /v1/images/{id}``: a stored picture. Its address is the permission; no key is asked for."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response

from inference.contract import route
from inference.store import IMAGES, KINDS, PictureStore, UnknownPicture, kind_of


def add(app: FastAPI, store: PictureStore) -> None:
    """Add the route. It begins with ``img_``, so that it hides no other under ``/v1/images``."""
    files = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in KINDS.values()}
    describe = route(
        "A picture that was asked for as a URL.", 404, ok={"content": files}, key=False
    )
    describe["responses"][304] = {"description": "It has not changed."}

    @app.api_route(
        IMAGES + "img_{rest}", methods=["GET", "HEAD"], response_class=Response, **describe
    )
    async def stored(request: Request, rest: str) -> Response:
        name = f"img_{rest}"
        kind = kind_of(name)
        entry = await store.look(name) if kind else None
        if entry is None or kind is None:
            raise _unknown(name, store)
        headers = {
            "ETag": f'"{name}"',  # a name never gets another content
            "Cache-Control": f"private, max-age={int(store.left(entry))}, immutable",
            "Content-Disposition": f'inline; filename="{name}"',
            "X-Content-Type-Options": "nosniff",
        }
        if headers["ETag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if request.method == "HEAD":
            headers["Content-Length"] = str(entry.size)
            return Response(headers=headers, media_type=kind)
        data = await store.get(name)
        if data is None:
            raise _unknown(name, store)
        return Response(data, headers=headers, media_type=kind)


def _unknown(name: str, store: PictureStore) -> UnknownPicture:
    return UnknownPicture(
        f"picture {name[:80]!r} is not here; pictures are kept for {store.bounds.most_seconds:g} s, or until newer ones need the room"
    )
