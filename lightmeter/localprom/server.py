"""An engine and an application on one loop, until SIGINT or SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from lightmeter import tls
from lightmeter.errors import port_error
from lightmeter.localprom.engine import Engine


GRACE_SECONDS = 2
"""For answers that are under way at the end; a page that watches holds its connection for ever."""


def listen(host: str, port: int) -> socket.socket:
    """Take the address now, before what is kept is read.

    Raises:
        PortError: naming the address and what to do.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        raise port_error(host, port, "--port", error) from error


class _Server(uvicorn.Server):
    """Uvicorn with the signals left to us, so that a clean stop ends with exit code 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve(
    engine: Engine, app: ASGIApp, sock: socket.socket, secured: tls.Files | None = None
) -> None:
    """Scrape, evaluate and answer until told to end; then close what is open."""
    asyncio.run(_serve(engine, app, sock, secured))


async def _serve(
    engine: Engine, app: ASGIApp, sock: socket.socket, secured: tls.Files | None
) -> None:
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=GRACE_SECONDS,
        ssl_context_factory=tls.factory(secured),
    )
    server = _Server(config)

    def stop() -> None:
        server.should_exit = True

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    working = asyncio.create_task(engine.run())
    working.add_done_callback(lambda _: stop())
    try:
        await server.serve(sockets=[sock])
    finally:
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await working
