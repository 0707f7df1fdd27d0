"""Requests that ride together, over a real socket. The pictures come from the stand-in engine."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from inference.engine import warmup_job
from inference.instruments import Instruments
from inference.limits import Limits
from inference.making import Shared
from inference.pool import Pool
from inference.tickets import Answer, Ticket
from inference.waiting import WaitingRoom
from lightmeter import catalog
from lightmeter.catalog import GpuTime, Priority, StopReason
from lightmeter.history import History
from lightmeter.settings import Serve
from support.server import Server, file


SLOW: dict[str, Any] = {"num_inference_steps": 50, "size": "16x16"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("data")) as running:
        yield running.ready()


def test_rides(server: Server) -> None:
    """Waiting requests of one shape are made together, each gets its own picture and its share."""

    def told() -> list[float]:
        return [
            server.value(catalog.BATCH_SIZE, "_count"),
            server.value(catalog.BATCH_SIZE, "_sum"),
            server.value(catalog.GPU_SECONDS, kind=GpuTime.USEFUL),
        ]

    before = told()
    answers = server.together([{**SLOW, "seed": seed, "n": 1 + seed % 2} for seed in range(9)])
    alone = server.post(**SLOW, seed=5, n=2)
    batches, riders, spent = (now - then for now, then in zip(told(), before, strict=True))

    bodies = [answer.json() for answer in answers]
    assert (10, True) == (riders, batches < 10)
    assert 1 < max(body["usage"]["batch_size"] for body in bodies)
    assert [file(alone, 0), file(alone, 1)] == [file(answers[5], 0), file(answers[5], 1)]
    assert list(range(9)) == [body["data"][0]["seed"] for body in bodies]
    shares = sum(body["usage"]["gpu_seconds"] for body in [*bodies, alone.json()])
    assert spent == pytest.approx(shares)


def test_rows_share(server: Server) -> None:
    """The usage rows say how many rode together, and their GPU seconds add up to the device's."""
    before = server.value(catalog.GPU_SECONDS, kind=GpuTime.USEFUL)
    server.together([SLOW] * 6)
    spent = server.value(catalog.GPU_SECONDS, kind=GpuTime.USEFUL) - before
    columns = ["batch_size", "gpu_seconds", "service_seconds"]
    rows = History(server.history).frame(columns).tail(6)

    assert spent == pytest.approx(rows["gpu_seconds"].sum())
    assert (rows["service_seconds"] / rows["batch_size"]).tolist() == pytest.approx(
        rows["gpu_seconds"].tolist()
    )
    assert rows["batch_size"].max() > 1


def test_different_shapes(server: Server) -> None:
    """Requests of different shapes are all made, each in its own size."""
    sizes = ["16x16", "32x16", "16x32"] * 4
    before = server.value(catalog.BATCH_SIZE, "_count", stop_reason=StopReason.INCOMPATIBLE)
    answers = server.together([{**SLOW, "size": size} for size in sizes])
    mixed = server.value(catalog.BATCH_SIZE, "_count", stop_reason=StopReason.INCOMPATIBLE) - before

    assert sizes == [answer.json()["size"] for answer in answers]
    assert mixed >= 1


def test_out_of_memory(tmp_path: Path) -> None:
    """A batch that does not fit is made in halves; later ones of that shape are kept smaller."""
    large = {
        "size": "2048x2048",
        "num_inference_steps": 1,
        "output_format": "jpeg",  # quicker than PNG
    }  # the stand-in seems to hold four of them
    with Server(tmp_path, "--batch", "16") as server:
        first = server.ready().together([large] * 10)
        once = server.value(catalog.OOM, resolution="2048x2048")
        second = server.together([large] * 10)
        twice = server.value(catalog.OOM, resolution="2048x2048")

    assert {200: 20} == Counter(answer.status_code for answer in first + second)
    assert 0 < max(answer.json()["timings"]["batch_wait"] for answer in first)
    assert once >= 1
    assert twice - once <= once


def test_too_large_alone(tmp_path: Path) -> None:
    """A request that does not fit even alone is 507 and told what would; the next one is served."""
    with Server(tmp_path, "--max-images", "8") as server:
        refused = server.ready().post(size="2048x2048", n=8, num_inference_steps=1)
        after = server.post()
        tried = server.value(catalog.OOM)

    assert (507, 200) == (refused.status_code, after.status_code)
    assert "what fits is n=4 at this size or 1440x1440 at n=8" in refused.json()["error"]["message"]
    assert 0 == tried
    assert {"oom": 1, "ok": 1} == History(tmp_path / "history").summary()["outcomes"]


def test_too_large_unforeseen(tmp_path: Path) -> None:
    """What should fit and does not is 507 too, once tried; the next such request is not tried."""
    with Server(tmp_path) as server:
        server.ready()
        refused = [server.post(size="2048x2048", n=4, num_inference_steps=1) for _ in range(2)]
        tried = server.value(catalog.OOM, resolution="2048x2048")

    assert [507, 507] == [answer.status_code for answer in refused]
    assert 1 == tried
    assert "what fits is n=3 at this size" in refused[1].json()["error"]["message"]


def test_gone_before_it_was_made(tmp_path: Path) -> None:
    """A client who goes when its batch is formed, but not begun, is left out of it."""
    settings = Serve.model_validate({"model": "still", "data": tmp_path})

    async def live() -> Answer:
        limits = Limits.of(settings)
        room = WaitingRoom(limits, 0.1)
        pool = Pool(Shared(settings, room, limits, Instruments(CollectorRegistry(), "s", "m")))
        stayed, gone = (asyncio.get_running_loop().create_future() for _ in range(2))
        for future in (stayed, gone):
            room.put(Ticket(warmup_job(64, 1), Priority.INTERACTIVE, time.monotonic(), future))
        gone.cancel()
        pool.start()
        try:
            return await asyncio.wait_for(stayed, 30)
        finally:
            await pool.stop()

    made = asyncio.run(live())
    assert (1, 1.0, 1) == (made.header["shape"][0], made.share, made.batch)
