"""Connections that bring nothing, at a small real server with little patience."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import resource
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import uvicorn

from inference import scrapes
from lightmeter import connections
from lightmeter.catalog import WORKERS
from support.cli import python
from support.server import Server


ASK = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def slow_app(scope: Any, receive: Any, send: Any) -> None:
    """Answer after half a second."""
    del scope, receive
    await asyncio.sleep(0.5)
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
    )
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)
    monkeypatch.setattr(connections, "KEEP_SECONDS", 0.3)
    config = uvicorn.Config(
        slow_app, http=connections.Attentive, lifespan="off", log_config=None, timeout_keep_alive=60
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as sock:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
        thread.start()
        yield sock.getsockname()
        server.should_exit = True
        thread.join()


def closed(client: socket.socket) -> bool:
    """Tell whether the server hangs up, in time."""
    client.settimeout(20)
    with contextlib.suppress(ConnectionResetError):
        return client.recv(100) == b""
    return True


def heard(client: socket.socket, *, answers: int) -> None:
    """Read so many answers; a connection that is closed before is a failure."""
    text = b""
    while text.count(b"200 OK") < answers or not text.endswith(b"ok"):
        more = client.recv(4096)
        assert more
        text += more


def flood(client: socket.socket) -> None:
    """Send for ever."""
    while True:
        client.sendall(b"x" * 10**6)


@pytest.mark.parametrize("sent", [b"", b"GET / HT", ASK[:-2]], ids=["nothing", "a word", "half"])
def test_no_request(address: tuple[str, int], sent: bytes) -> None:
    """A connection on which no whole request head comes is closed."""
    with socket.create_connection(address) as client:
        client.sendall(sent)

        assert closed(client)


def test_dripping(address: tuple[str, int]) -> None:
    """So is one on which a head comes letter by letter."""
    with socket.create_connection(address) as client:
        began = time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() < began + 20:
                client.sendall(b"X")
                time.sleep(0.02)
            pytest.fail("it is still open")


def test_work_takes_time(address: tuple[str, int]) -> None:
    """A request that has come takes the time that it takes, also the next on the same connection."""
    with socket.create_connection(address) as client:
        for _ in range(2):
            client.sendall(ASK)
            heard(client, answers=1)

        assert closed(client)


def test_answered_halfway(address: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that is answered in the middle of its request is not kept for another."""
    monkeypatch.setattr(connections, "KEEP_SECONDS", 60)
    monkeypatch.setattr(connections, "REST_SECONDS", 0.3)
    with socket.create_connection(address) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        heard(client, answers=1)

        assert closed(client)


def test_pipelined(address: tuple[str, int]) -> None:
    """So do requests that were sent one behind the other."""
    with socket.create_connection(address) as client:
        client.sendall(ASK * 3)
        heard(client, answers=3)


def test_files() -> None:
    """A server may have as many connections as its hard limit of open files allows."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    code = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (100, {hard})); from lightmeter import connections; connections.allow_many(); print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])"  # fmt: skip

    assert min(hard, connections.MOST_FILES) == int(python(code).out)


def test_kept(tmp_path: Path) -> None:
    """A connection that was of use outlives the pauses of a load balancer, which would get a 502."""
    with Server(tmp_path) as server:
        client = http.client.HTTPConnection(server.api.removeprefix("http://"))
        client.request("GET", "/healthz")
        client.getresponse().read()
        kept = client.sock
        time.sleep(6)  # uvicorn's own patience is 5 s
        client.request("GET", "/healthz")
        status = client.getresponse().status

        assert (200, kept) == (status, client.sock)
        client.close()
    assert connections.KEEP_SECONDS > 60


def test_idle_scrapers(tmp_path: Path) -> None:
    """Hundreds of connections to the page of metrics that ask nothing take no threads, and no scrape's place."""
    with Server(tmp_path) as server:
        host, port = server.ready().metrics_url.removeprefix("http://").split("/")[0].split(":")
        before = psutil.Process(server.process.pid).num_threads()
        idle = [socket.create_connection((host, int(port))) for _ in range(300)]
        scraped = server.value(WORKERS)
        threads = psutil.Process(server.process.pid).num_threads() - before
        for client in idle:
            client.close()
        log = "".join(server.log)

    assert 1 == scraped
    assert threads <= scrapes.MOST_CONNECTIONS + 1
    assert "Traceback" not in log
