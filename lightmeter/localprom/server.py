"""An engine and an application on one loop, until SIGINT or SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from starlette.types import ASGIApp

from lightmeter import connections, tls
from lightmeter.localprom.engine import Engine


GRACE_SECONDS = 2
"""For answers that are under way at the end; a page that watches holds its connection for ever."""


def serve(
    engine: Engine, app: ASGIApp, sock: socket.socket, secured: tls.Files | None = None
) -> None:
    """Scrape, evaluate and answer until told to end; then close what is open."""
    asyncio.run(_serve(engine, app, sock, secured))


async def _serve(
    engine: Engine, app: ASGIApp, sock: socket.socket, secured: tls.Files | None
) -> None:
    config = connections.config(app, secured, timeout_graceful_shutdown=GRACE_SECONDS)
    server = connections.Ending(config)

    def stop() -> None:
        server.should_exit = True

    working = asyncio.create_task(engine.run())
    working.add_done_callback(lambda _: stop())
    try:
        await server.serve(sockets=[sock])
    finally:
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await working
