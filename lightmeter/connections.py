"""Servers on uvicorn: who ends them, and connections that cost us something and bring nothing."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
from collections.abc import Iterator
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from lightmeter import tls
from lightmeter.tls import Files


HEAD_SECONDS = 30.0
"""A connection on which no whole request head comes for so long is closed."""
KEEP_SECONDS = 75
"""A connection that was of use is kept for the next request: for longer than load balancers keep
theirs (60 s: nginx's upstreams, AWS's ALB), so that none sends a request while we hang up."""
REST_SECONDS = 5
"""One that was answered in the middle of its request gets so long to read that, and is closed."""
MOST_FILES = 65_536


class Attentive(H11Protocol):
    """HTTP/1.1 for clients that say what they want; uvicorn alone waits for ever."""

    _due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._expect(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._stop()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Read what has come; once it is a request, its own bounds hold."""
        before = self.cycle
        super().handle_events()
        if self.cycle is not before:
            self._stop()

    def on_response_complete(self) -> None:
        """Wait for the next request; where the rest of this one was not read, there is none."""
        whole = self.conn.their_state is h11.DONE
        self._expect(KEEP_SECONDS if whole else REST_SECONDS)
        super().on_response_complete()

    def _expect(self, seconds: float) -> None:
        self._stop()
        self._due = self.loop.call_later(seconds, self.transport.close)

    def _stop(self) -> None:
        if self._due:
            self._due.cancel()


def config(
    app: ASGIApp, secured: Files | None, *, http: type[Attentive] = Attentive, **more: Any
) -> uvicorn.Config:
    """Say what all our servers have in common: no lines of uvicorn's own, no WebSockets, patience with bounds; ``more`` is uvicorn's."""
    return uvicorn.Config(app, http=http, log_config=None, access_log=False, lifespan="off", ws="none", timeout_keep_alive=KEEP_SECONDS, ssl_context_factory=tls.factory(secured), **more)  # fmt: skip


class Server(uvicorn.Server):
    """Uvicorn with the signals left to us, so that a clean stop ends with exit code 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take none: who runs it does."""
        yield


class Ending(Server):
    """One that ends at the first SIGINT or SIGTERM."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take both; to be run in the main thread."""

        def stop(*_: object) -> None:
            self.should_exit = True

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        yield


def allow_many() -> None:
    """Raise this process's limit of open files, of which each connection needs one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
