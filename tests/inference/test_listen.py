"""The socket that the API listens on."""

from __future__ import annotations

import socket

import pytest

from inference import server


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_no_delay(host: str) -> None:
    """A client that keeps its connection gets each answer at once, not after the kernel's 40 ms."""
    with (
        server.listen(host, 0, "port") as listening,
        socket.create_connection(listening.getsockname()[:2]),
    ):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
