"""The real tiny pipeline under steady load for minutes: nothing grows, nothing is lost."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from inference.load.drive import Done
from inference.load.session import light
from lightmeter import catalog
from lightmeter.catalog import Outcome
from lightmeter.history import History
from support.server import Server


pytestmark = pytest.mark.proof
SECONDS = 150.0
SETTLE_SECONDS = 45.0
MOST_GROWTH_BYTES_A_MINUTE = 4 * 1024**2


async def soak(server: Server, samples: list[tuple[float, float, float]]) -> list[Done]:
    stop = asyncio.Event()
    done: list[Done] = []
    driver = asyncio.create_task(light(server.api, 6.0, stop, done.append))
    api = psutil.Process(server.process.pid)
    worker = psutil.Process(server.worker_pids()[0])
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        await asyncio.sleep(1)
        samples.append((time.monotonic(), api.memory_info().rss, worker.memory_info().rss))
    stop.set()
    await driver
    return done


def growth(times: list[float], sizes: list[float]) -> float:
    """Slope of memory in bytes a minute, by least squares."""
    return float(np.polyfit(np.array(times) - times[0], sizes, 1)[0] * 60)


def test_flat(tmp_path: Path) -> None:
    """After it has settled, neither the API process nor the worker grows; every row is there."""
    samples: list[tuple[float, float, float]] = []
    with Server(tmp_path, "--seal-rows", "100", model="tiny") as server:
        server.ready()
        done = asyncio.run(soak(server, samples))
        ok = server.value(catalog.REQUESTS, outcome=Outcome.OK)

    settled = [sample for sample in samples if sample[0] > samples[0][0] + SETTLE_SECONDS]
    times, api, worker = map(list, zip(*settled, strict=True))
    slopes = growth(times, api), growth(times, worker)
    assert {200} == {one.status for one in done}
    assert ok == len(done) == History(tmp_path / "history").summary()["rows"]
    assert max(slopes) < MOST_GROWTH_BYTES_A_MINUTE, slopes
