"""Clients that go away, and deadlines that pass, in the queue and in mid-work."""

from __future__ import annotations

import asyncio
import gc
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from inference.aside import give_up
from lightmeter import catalog
from lightmeter.catalog import GpuTime, WorkerState
from lightmeter.history import History
from support.server import Server, eventually


STEPS = 1000
LONG: dict[str, Any] = {"num_inference_steps": STEPS, "size": "16x16"}
"""At least two seconds for the stand-in, which sleeps 2 ms a step."""
ALLOWED = ("--max-steps", str(STEPS))


def leave(server: Server, seconds: float) -> None:
    """Ask for a long picture and hang up after so many seconds."""
    with (
        httpx.Client(base_url=server.api, trust_env=False, timeout=seconds) as client,
        pytest.raises(httpx.ReadTimeout),
    ):
        client.post("/v1/images/generations", json={"prompt": "x", **LONG})


def idle(server: Server) -> bool:
    return server.value(catalog.WORKERS, state=WorkerState.READY) == 1


def test_unheard(caplog: pytest.LogCaptureFixture) -> None:
    """What fails because its client has gone is not logged as an error that nobody looked at."""

    async def fails() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            raise ValueError

    async def live() -> None:
        working = asyncio.create_task(fails())
        await asyncio.sleep(0)
        await give_up(working)

    asyncio.run(live())
    gc.collect()
    assert "" == caplog.text


def test_leaves_running(tmp_path: Path) -> None:
    """When the only client of a batch has gone, the work ends within a step and is counted."""
    with Server(tmp_path, *ALLOWED) as server:
        leave(server.ready(), 0.3)
        assert eventually(lambda: idle(server))
        abandoned = server.value(catalog.GPU_SECONDS, kind=GpuTime.ABANDONED)
        useful = server.value(catalog.GPU_SECONDS, kind=GpuTime.USEFUL)
        after = server.post()

    assert 0.1 < abandoned < 0.002 * STEPS
    assert (0, 200) == (useful, after.status_code)
    assert {"cancelled": 1, "ok": 1} == History(tmp_path / "history").summary()["outcomes"]


def test_leaves_queue(tmp_path: Path) -> None:
    """A client that goes while it waits is dropped from the queue and never made."""
    with Server(tmp_path, *ALLOWED, "--batch", "1") as server:
        first = threading.Thread(target=server.ready().post, args=(LONG,))
        first.start()
        assert eventually(lambda: server.value(catalog.WORKERS, state=WorkerState.BUSY) == 1)
        leave(server, 0.2)
        assert eventually(lambda: server.value(catalog.QUEUE_DEPTH) == 0)
        assert first.is_alive()
        first.join()
        assert eventually(lambda: idle(server))
        forwards = server.value(catalog.DENOISE_FORWARDS)

    assert STEPS == forwards
    assert {"cancelled": 1, "ok": 1} == History(tmp_path / "history").summary()["outcomes"]


def test_mate_stays(tmp_path: Path) -> None:
    """A batch goes on for those who stay, and the share of the one who left is told apart."""
    with Server(tmp_path, *ALLOWED) as server:
        head = threading.Thread(target=server.ready().post, args=(LONG,))
        head.start()  # keeps the worker busy, so that the next two ride together
        assert eventually(lambda: server.value(catalog.WORKERS, state=WorkerState.BUSY) == 1)
        answers: list[httpx.Response] = []
        mate = threading.Thread(target=lambda: answers.append(server.post(LONG)))
        mate.start()
        leave(server, 3.0)  # the worker is busy for two seconds at least
        head.join()
        mate.join()
        abandoned = server.value(catalog.GPU_SECONDS, kind=GpuTime.ABANDONED)
        useful = server.value(catalog.GPU_SECONDS, kind=GpuTime.USEFUL)

    assert (200, 2) == (answers[0].status_code, answers[0].json()["usage"]["batch_size"])
    assert abandoned == pytest.approx(answers[0].json()["usage"]["gpu_seconds"])
    assert useful > 2 * abandoned


def test_deadline_running(tmp_path: Path) -> None:
    """A request whose deadline passes while it is made is answered 504 and stopped."""
    with Server(tmp_path, *ALLOWED, "--deadline", "0.5") as server:
        late = server.ready().post(LONG)
        assert eventually(lambda: idle(server))
        abandoned = server.value(catalog.GPU_SECONDS, kind=GpuTime.ABANDONED)
        after = server.post()

    assert (504, 200) == (late.status_code, after.status_code)
    assert int(late.headers["retry-after"]) >= 1
    assert 0.1 < abandoned < 0.002 * STEPS


def test_next_batch_unhurt(tmp_path: Path) -> None:
    """Giving up one batch never ends another: the next one is made whole, many times over."""
    with Server(tmp_path, *ALLOWED, "--batch", "1") as server:
        server.ready()
        for _ in range(5):
            leave(server, 0.15)
            answer = server.post(num_inference_steps=20, size="16x16")
            assert (200, 20) == (answer.status_code, answer.json()["usage"]["forwards"])
