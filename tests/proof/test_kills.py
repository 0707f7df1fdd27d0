"""Killed again and again under load: what was answered stays answered."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from pathlib import Path

import httpx
import pytest

from lightmeter import catalog
from lightmeter.history import History
from lightmeter.journal import journals
from support.server import Server, eventually


pytestmark = pytest.mark.proof
KILLS = 20


def ask(server: Server, answered: list[str], stop: threading.Event) -> None:
    with httpx.Client(base_url=server.api, timeout=10, trust_env=False) as client:
        while not stop.is_set():
            try:
                answer = client.post(
                    "/v1/images/generations",
                    json={"prompt": "x", "size": "16x16", "num_inference_steps": 1},
                )
            except httpx.TransportError:
                return
            if answer.status_code == 200:
                answered.append(answer.json()["id"])


def ask_long(server: Server, statuses: list[int]) -> None:
    statuses.append(server.post(num_inference_steps=50, size="16x16").status_code)


def test_server(tmp_path: Path) -> None:
    """Twenty servers killed under load in one folder: every answered request is there, once."""
    answered: list[str] = []
    chance = random.Random(1)
    for _ in range(KILLS):
        stop = threading.Event()
        with Server(tmp_path, "--seal-rows", "20") as server:
            server.ready()
            clients = [
                threading.Thread(target=ask, args=(server, answered, stop)) for _ in range(4)
            ]
            for client in clients:
                client.start()
            time.sleep(chance.uniform(0.2, 1.0))
            server.kill()
            stop.set()
            for client in clients:
                client.join()

    recorded = list(History(tmp_path / "history").frame(["request_id", "outcome"])["request_id"])
    assert len(answered) > KILLS
    assert len(set(recorded)) == len(recorded)
    assert set(answered) <= set(recorded)


def test_workers(tmp_path: Path) -> None:
    """A worker killed in mid-work, over and over: every request ends, and the next one is served."""
    with Server(tmp_path, "--workers", "2") as server:
        server.ready()
        assert eventually(lambda: len(server.worker_pids()) == 2)
        for _ in range(6):
            statuses: list[int] = []
            clients = [threading.Thread(target=ask_long, args=(server, statuses)) for _ in range(4)]
            for client in clients:
                client.start()
            assert eventually(lambda: server.value(catalog.IN_FLIGHT) == 4)
            os.kill(server.worker_pids()[0], signal.SIGKILL)
            for client in clients:
                client.join(60)
            assert 4 == len(statuses)
            assert {200, 503} >= set(statuses)
            assert eventually(lambda: server.post().status_code == 200)
            assert eventually(lambda: len(server.worker_pids()) == 2)

    assert [] == journals(tmp_path / "history")
