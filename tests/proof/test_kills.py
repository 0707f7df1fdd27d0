"""Killed again and again under load: what was answered stays answered."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from lightmeter import catalog
from lightmeter.catalog import WorkerState
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


WORKER_KILLS = 50


def ask_until(
    server: Server, stop: threading.Event, statuses: Counter[int], ids: list[str]
) -> None:
    """Ask for pictures of a tenth of a second, one after the other."""
    body = {"prompt": "x", "size": "16x16", "num_inference_steps": 50}
    with httpx.Client(base_url=server.api, timeout=60, trust_env=False) as client:
        while not stop.is_set():
            answer = client.post("/v1/images/generations", json=body)
            statuses[answer.status_code] += 1
            if answer.status_code == 200:
                ids.append(answer.json()["id"])
            elif answer.status_code == 503:
                assert int(answer.headers["retry-after"]) >= 1
                time.sleep(0.05)


def test_workers(tmp_path: Path) -> None:
    """Fifty workers killed in mid-work under load: each request is answered, once, and recorded, once."""
    stop, statuses, ids = threading.Event(), Counter[int](), list[str]()
    chance = random.Random(2)
    with Server(tmp_path, "--workers", "2", "--batch", "2") as server:
        server.ready()
        with ThreadPoolExecutor() as pool:
            asked = [pool.submit(ask_until, server, stop, statuses, ids) for _ in range(8)]
            try:
                for _ in range(WORKER_KILLS):
                    assert eventually(lambda: server.value(catalog.WORKERS, state=WorkerState.BUSY) > 0)  # fmt: skip
                    time.sleep(chance.uniform(0.0, 0.5))  # pictures are finished between kills
                    assert eventually(server.worker_pids)  # both may just have been killed
                    os.kill(chance.choice(server.worker_pids()), signal.SIGKILL)
            finally:
                stop.set()
            for one in asked:
                one.result(60)
        assert eventually(lambda: server.value(catalog.WORKERS, state=WorkerState.READY) == 2)
        left = server.value(catalog.IN_FLIGHT), server.value(catalog.QUEUE_DEPTH)
        files = psutil.Process(server.process.pid).num_fds()
        assert 200 == server.post().status_code

    rows = History(tmp_path / "history").frame(["request_id", "outcome"])
    served = rows[rows["outcome"] == "ok"]["request_id"]
    assert {200, 503} >= set(statuses)
    assert len(ids) > 2 * WORKER_KILLS
    assert (0, 0) == left
    assert files < 100
    assert statuses.total() + 1 == len(rows) == rows["request_id"].nunique()
    assert len(ids) + 1 == len(served)
    assert set(ids) <= set(served)
    assert [] == journals(tmp_path / "history")
