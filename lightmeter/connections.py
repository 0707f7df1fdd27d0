"""Connections that cost us something and bring nothing: idle ones, slow ones, dead ones."""

from __future__ import annotations

import asyncio
import resource
import socket

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


HEAD_SECONDS = 30.0
"""A connection on which no whole request head comes for so long is closed."""
KEEP_SECONDS = 75
"""A connection that was of use is kept for the next request: for longer than load balancers keep
theirs (60 s: nginx's upstreams, AWS's ALB), so that none sends a request while we hang up."""
REST_SECONDS = 5
"""One that was answered in the middle of its request gets so long to read that, and is closed."""
UNREAD_SECONDS = 60.0
"""A connection whose other side takes nothing of what was sent to it for so long is closed, too."""
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


def allow_many() -> None:
    """Raise this process's limit of open files, of which each connection needs one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def set_options(sock: socket.socket) -> None:
    """Set what connections inherit from their listening socket.

    Without TCP_NODELAY, which asyncio sets for sockets that it made itself only, the body waits
    40 ms for the acknowledgement of the headers (measured 2026-11, with a kept connection).
    TCP_USER_TIMEOUT ends connections whose other side reads nothing, or is gone without a word.
    """
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        milliseconds = round(UNREAD_SECONDS * 1000)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
