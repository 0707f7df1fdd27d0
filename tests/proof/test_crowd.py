"""Ten thousand connections that bring nothing, and one honest client."""

from __future__ import annotations

import contextlib
import resource
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from lightmeter import catalog
from lightmeter.bodies import BODY_SECONDS
from support.server import HALF, Server, eventually


pytestmark = pytest.mark.proof
CROWD = 10_000
SPARE_FILES = 500


def as_many_as_allowed() -> int:
    """Raise our own limit of open files; return how many connections it allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return min(CROWD, hard - SPARE_FILES)


@contextlib.contextmanager
def crowd(server: Server) -> Iterator[int]:
    """Connect; half of them begin a request, half say nothing. Yield how many there are."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(as_many_as_allowed())]
        for client in clients[::2]:
            client.sendall(HALF)
        yield len(clients)


def latency(server: Server) -> float:
    """Median seconds of a picture, on a fresh connection each."""
    seconds = []
    for _ in range(20):
        began = time.monotonic()
        assert 200 == server.post(size="16x16", num_inference_steps=1).status_code
        seconds.append(time.monotonic() - began)
    return statistics.median(seconds)


def test_crowd(tmp_path: Path) -> None:
    """The honest client notices nothing; the crowd is sent away in time, and leaves nothing behind."""
    with Server(tmp_path) as server:
        process = psutil.Process(server.ready().process.pid)
        alone, files = latency(server), process.num_fds()
        memory = []
        for _ in range(2):
            with crowd(server) as many:
                most = files + 0.9 * many
                assert eventually(lambda most=most: process.num_fds() > most)
                assert latency(server) < 5 * alone
                assert eventually(lambda: process.num_fds() < files + 20, seconds=BODY_SECONDS + 30)
                memory.append(process.memory_info().rss)
        left = server.value(catalog.IN_FLIGHT), server.value(catalog.QUEUE_DEPTH)
        after = latency(server)
        log = "".join(server.log)

    assert (0, 0) == left
    assert after < 3 * alone
    assert memory[1] < memory[0] + 30 * 1024**2
    assert "Traceback" not in log
    assert "ERROR" not in log
