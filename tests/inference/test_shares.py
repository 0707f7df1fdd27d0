"""Neighbours: whoever asks for little gets it, whatever the others ask for."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from lightmeter import catalog
from lightmeter.catalog import ShedReason
from support.server import GENERATIONS, PLAIN, Server, asking, bearer, eventually


NOISY, QUIET, ADMIN = "sk-noisy-0123456789", "sk-quiet-0123456789", "sk-admin-0123456789"
CALL: dict[str, Any] = {"num_inference_steps": 50, "size": "16x16"}
"""A tenth of a second for the stand-in, at the least."""


def started(folder: Path, *options: str) -> Server:
    keys = folder / "keys.toml"
    tenants = {"noisy": NOISY, "quiet": QUIET, "ops": ADMIN}
    tables = [f'[{name}]\nkey = "{key}"\nadmin = {str(key == ADMIN).lower()}\n' for name, key in tenants.items()]  # fmt: skip
    keys.write_text("".join(tables))
    return Server(folder, "--keys", str(keys), *options)


async def flood(server: Server, rps: float, statuses: Counter[int], stop: threading.Event) -> None:
    """Send requests whatever becomes of the others, until it is enough; then wait for all."""

    async def one() -> None:
        answer = await client.post(GENERATIONS, json={"prompt": "x", **CALL}, headers=bearer(NOISY))
        statuses[answer.status_code] += 1

    client = httpx.AsyncClient(base_url=server.api, timeout=60, trust_env=False)
    async with client, asyncio.TaskGroup() as tasks:
        while not stop.is_set():
            tasks.create_task(one())
            await asyncio.sleep(1 / rps)


@contextlib.contextmanager
def flooded(server: Server, rps: float) -> Iterator[Counter[int]]:
    statuses, stop = Counter[int](), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(flood(server, rps, statuses, stop)))
    thread.start()
    try:
        yield statuses
    finally:
        stop.set()
        thread.join()


def test_noisy_neighbour(tmp_path: Path) -> None:
    """One tenant floods the server; another, who asks now and then, is never refused nor kept waiting."""
    with (
        started(tmp_path, "--batch", "4", "--queue", "16") as server,
        flooded(server.ready(), 150) as noisy,
    ):
        assert eventually(lambda: noisy[429] > 10)
        answers = [server.post(CALL, key=QUIET) for _ in range(15)]

    call = statistics.median(answer.json()["timings"]["denoise"] for answer in answers)
    waits = sorted(answer.json()["timings"]["queue"] for answer in answers)
    assert {200} == {answer.status_code for answer in answers}
    assert statistics.median(waits) < 2 * call  # for the end of the call that runs
    assert waits[-2] < 10 * call  # and not for a queue of four calls before each of three others
    assert {200, 429} == set(noisy)


def test_nothing_wasted(tmp_path: Path) -> None:
    """The one who asks for little rides along: as many fit into each call as before."""
    with started(tmp_path, "--batch", "4") as server, flooded(server.ready(), 150) as noisy:
        assert eventually(lambda: noisy[429] > 10)
        before = calls(server)
        for _ in range(10):
            server.post(CALL, key=QUIET)
        after = calls(server)

    requests, made = (late - early for early, late in zip(before, after, strict=True))
    assert requests > 3.8 * made


def calls(server: Server) -> tuple[float, float]:
    """Requests that were made, and calls that it took."""
    return server.value(catalog.BATCH_SIZE, "_sum"), server.value(catalog.BATCH_SIZE, "_count")


def limit(server: Server, **limits: int) -> None:
    server.client.put("/admin/limits", json=limits, headers=bearer(ADMIN))


def test_pushed_out(tmp_path: Path) -> None:
    """Of a queue that is full of one tenant's requests the newest is sent away for another's."""
    with started(tmp_path, "--queue", "3") as server:
        server.key = NOISY
        limit(server.ready(), concurrency=0)
        with asking(server, {}, {}, {}) as theirs, ThreadPoolExecutor() as pool:
            own = server.post()
            mine = pool.submit(server.post, key=QUIET)
            assert eventually(lambda: server.value(catalog.SHED, reason=ShedReason.QUEUE_FULL) == 2)
            limit(server, concurrency=1)

    assert 429 == own.status_code
    assert [200, 200, 429] == [answer.status_code for answer in theirs]
    assert 200 == mine.result().status_code
    assert int(theirs[2].headers["retry-after"]) >= 1


def test_classes(tmp_path: Path) -> None:
    """While people and batch jobs both ask for all they can get, each class gets its share."""
    stop = threading.Event()
    done: Counter[str] = Counter()

    def ask(priority: str) -> None:
        with httpx.Client(base_url=server.api, timeout=60, trust_env=False, verify=PLAIN) as client:
            while not stop.is_set():
                body = {
                    "prompt": "x",
                    "priority": priority,
                    "num_inference_steps": 20,
                    "size": "16x16",
                }
                client.post(GENERATIONS, json=body).raise_for_status()
                done[priority] += 1

    with Server(tmp_path, "--batch", "1", "--batch-share", "0.2") as server:
        server.ready()
        threads = [
            threading.Thread(target=ask, args=(name,)) for name in ["batch", "interactive"] * 6
        ]
        for thread in threads:
            thread.start()
        assert eventually(lambda: done.total() >= 100)
        stop.set()
        for thread in threads:
            thread.join()

    assert 0.1 < done["batch"] / done.total() < 0.35
