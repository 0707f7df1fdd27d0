"""Addresses that are listened on. Standard library only: the exporter is small."""

from __future__ import annotations

import socket

from lightmeter.errors import port_error


BACKLOG = 2048
"""Connections that may wait until they are taken; the kernel has a bound of its own."""
LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""Hosts that nobody reaches from another machine."""
UNREAD_SECONDS = 60.0
"""A connection whose other side takes nothing of what was sent to it for so long is closed."""


def listen(host: str, port: int, option: str = "--port") -> socket.socket:
    """Take an address now, so that one that is taken is known before anything else is begun.

    Raises:
        PortError: naming the address and what to do; ``option`` is where the port comes from.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        sock = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise port_error(host, port, option, error) from error
    set_options(sock)
    return sock


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
