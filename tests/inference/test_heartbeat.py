"""Workers that fall silent, and servers that were held up themselves."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from lightmeter import catalog
from lightmeter.catalog import WorkerState
from support.server import Server, asking, eventually


LONG = {"num_inference_steps": 1000, "size": "16x16"}
"""Two seconds for the stand-in."""
SILENCE = 3.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path, "--silence", f"{SILENCE:g}", "--max-steps", "1000") as running:
        yield running.ready()


def count(server: Server, state: WorkerState) -> float:
    return server.value(catalog.WORKERS, state=state)


def test_idle(server: Server) -> None:
    """An idle worker that falls silent is killed and replaced before anybody needs it."""
    [stopped] = server.worker_pids()
    time.sleep(1.5)  # for a first sign of life
    psutil.Process(stopped).suspend()

    assert eventually(lambda: not psutil.pid_exists(stopped), seconds=3 * SILENCE)
    assert eventually(lambda: count(server, WorkerState.READY) == 1)
    assert [stopped] != server.worker_pids()
    assert 200 == server.post().status_code
    assert "it was silent for 3 s" in "".join(server.log)


def test_at_work(server: Server) -> None:
    """The requests of a worker that falls silent are made by its replacement."""
    [stopped] = server.worker_pids()
    with asking(server, LONG, LONG) as answers:
        assert eventually(lambda: count(server, WorkerState.BUSY) == 1)
        time.sleep(0.5)
        psutil.Process(stopped).suspend()

    assert [200, 200] == [answer.status_code for answer in answers]
    assert not psutil.pid_exists(stopped)


def test_at_once(server: Server) -> None:
    """A worker that falls silent before its first sign of life, as soon as it is ready, is noticed too."""
    for _ in range(2):
        [worker] = server.worker_pids()
        os.kill(worker, signal.SIGSTOP)
        assert eventually(lambda gone=worker: not psutil.pid_exists(gone), seconds=3 * SILENCE)
        assert eventually(lambda: count(server, WorkerState.READY) == 1)


def test_held_up(server: Server) -> None:
    """A server that was stopped itself for longer blames none of its workers."""
    workers = server.worker_pids()
    os.kill(server.process.pid, signal.SIGSTOP)
    time.sleep(2 * SILENCE)
    os.kill(server.process.pid, signal.SIGCONT)
    time.sleep(2 * SILENCE)

    assert workers == server.worker_pids()
    assert 200 == server.post().status_code
    assert "silent" not in "".join(server.log)


def test_all_held_up(server: Server) -> None:
    """So it is where the whole machine was stopped, and was at work."""
    workers = server.worker_pids()
    everybody = [server.process.pid, *workers]
    with asking(server, LONG) as answers:
        assert eventually(lambda: count(server, WorkerState.BUSY) == 1)
        for process in everybody:
            os.kill(process, signal.SIGSTOP)
        time.sleep(2 * SILENCE)
        for process in everybody:
            os.kill(process, signal.SIGCONT)

    assert [200] == [answer.status_code for answer in answers]
    assert workers == server.worker_pids()
