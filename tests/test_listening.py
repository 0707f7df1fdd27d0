"""The sockets that are listened on."""

from __future__ import annotations

import socket

import pytest

from lightmeter import listening
from lightmeter.errors import PortError
from lightmeter.listening import listen


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_no_delay(host: str) -> None:
    """A client that keeps its connection gets each answer at once, not after the kernel's 40 ms."""
    with listen(host, 0) as ours, socket.create_connection(ours.getsockname()[:2]):
        accepted, _ = ours.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_taken() -> None:
    """A busy port is refused at once, with the option that helps."""
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortError) as error:
            listen("127.0.0.1", port, "--metrics-port")

    said = f"address 127.0.0.1:{port} is already in use; give another --metrics-port, or 0 for a free one"
    assert said == str(error.value)


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="an option of Linux")
def test_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever takes nothing of what is sent to it is disconnected, and its memory is free again."""
    monkeypatch.setattr(listening, "UNREAD_SECONDS", 1.0)
    with listen("127.0.0.1", 0) as ours, socket.create_connection(ours.getsockname()):
        accepted, _ = ours.accept()
        with accepted, pytest.raises(TimeoutError, match=r"\[Errno 110\]"):
            flood(accepted)


def flood(client: socket.socket) -> None:
    """Send for ever."""
    while True:
        client.sendall(b"x" * 10**6)
