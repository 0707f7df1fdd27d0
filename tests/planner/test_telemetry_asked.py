"""Telemetry that is asked of a Prometheus API: our exporter's pods, NVIDIA's, and neither."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from urllib.parse import parse_qsl

import httpx
import numpy as np
import pytest
import uvicorn
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from lightmeter.catalog import POD_BUSY, POD_MEMORY_USED, Dcgm
from lightmeter.errors import HistoryError, ServerError
from lightmeter.localprom.api import Api
from lightmeter.localprom.keep import Keeper
from lightmeter.localprom.labels import pack
from lightmeter.localprom.store import Store
from planner import from_telemetry, telemetry
from planner.promql import Api as Prometheus
from planner.promql import Grid


Series = dict[tuple[tuple[str, str], ...], tuple[float, float]]
BEGIN, MINUTES = 1_790_000_000, 60
GIB = 1024.0**3


class Limited:
    """An API that refuses a range of more points than this, in the words of VictoriaMetrics."""

    def __init__(self, app: ASGIApp, most: float, asked: list[float]) -> None:
        self.app, self.most, self.asked = app, most, asked

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on."""
        given = dict(parse_qsl(scope.get("query_string", b"").decode()))
        if "step" in given:
            points = (float(given["end"]) - float(given["start"])) / float(given["step"]) + 1
            self.asked.append(points)
            if points > self.most:
                answer = JSONResponse({"status": "error", "error": "too many points for the given step"}, 422)  # fmt: skip
                await answer(scope, receive, send)
                return
        await self.app(scope, receive, send)


@contextlib.contextmanager
def served(
    series: Series, most: float = float("inf"), asked: list[float] | None = None
) -> Iterator[str]:
    """Serve an hour of series, each beginning at a value and growing by so much a second."""
    store = Store(retention_ms=10**13)
    seconds = np.arange(0, MINUTES * 60, 15)
    for labels, (first, growth) in series.items():
        store.extend(
            pack(dict(labels)),
            (BEGIN + seconds) * 1000,
            np.asarray(first + growth * seconds, dtype=np.float64),
        )
    with socket.create_server(("127.0.0.1", 0)) as bound:
        app = Limited(Api(Keeper(store)).app(), most, [] if asked is None else asked)
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        try:
            while not server.started:
                time.sleep(0.01)
            yield url
        finally:
            server.should_exit = True
            thread.join()


def one(name: str, **labels: str) -> tuple[tuple[str, str], ...]:
    return tuple({"__name__": name, **labels}.items())


def read(url: str) -> telemetry.Telemetry:
    return from_telemetry.read([url], since=BEGIN + 300, until=BEGIN + 3300, token=None)


def test_our_exporter() -> None:
    """Pods are named with their namespace; a pod on two GPUs holds two; containers add up."""
    pod = {"namespace": "fox", "pod": "red-1", "gpu": "0"}
    series = {
        one(POD_BUSY.name, UUID="GPU-a", container="x", **pod): (0.0, 0.25),
        one(POD_BUSY.name, UUID="GPU-b", container="x", **pod): (0.0, 0.5),
        one(POD_MEMORY_USED.name, UUID="GPU-a", container="x", **pod): (3 * GIB, 0.0),
        one(POD_MEMORY_USED.name, UUID="GPU-b", container="x", **pod): (2 * GIB, 0.0),
        one(POD_MEMORY_USED.name, UUID="GPU-b", container="y", **pod): (2 * GIB, 0.0),
    }
    with served(series) as url:
        found = read(url)

    held, busy = telemetry.held_and_busy(found.samples)
    assert 2.0 == held
    assert 0.75 == pytest.approx(busy)
    assert {"fox/red-1"} == set(found.samples["pod"])
    assert 7 * GIB == found.samples["vram_bytes"].max()


def test_nvidias_exporter() -> None:
    """Percent and MiB of NVIDIA's exporter become GPUs and bytes, with what must be said of it."""
    pod = {"namespace": "fox", "pod": "red-1", "gpu": "0", "UUID": "GPU-a"}
    series = {one(Dcgm.GPU_UTIL, **pod): (50.0, 0.0), one(Dcgm.FB_USED, **pod): (1024.0, 0.0)}
    with served(series) as url:
        found = read(url)

    assert (1.0, 0.5) == telemetry.held_and_busy(found.samples)
    assert GIB == found.samples["vram_bytes"].max()
    assert "VRAM is not" in found.notes[0]


def test_shared_gpus() -> None:
    """Two pods on a GPU hold it once between them, whoever tells."""
    ours: Series = {}
    theirs: Series = {}
    for pod in ("red-1", "blue-1"):
        labels = {"namespace": "fox", "pod": pod, "gpu": "0", "UUID": "GPU-a"}
        ours[one(POD_MEMORY_USED.name, container="x", **labels)] = (GIB, 0.0)
        ours[one(POD_BUSY.name, container="x", **labels)] = (0.0, 0.25)
        theirs[one(Dcgm.GPU_UTIL, **labels)] = (50.0, 0.0)
    for series in (ours, theirs):
        with served(series) as url:
            held, busy = telemetry.held_and_busy(read(url).samples)
        assert 1.0 == pytest.approx(held)
        assert 0.5 == pytest.approx(busy)


def test_neither() -> None:
    """A Prometheus that knows of no pods is refused, with the names that it should know."""
    with served({one("up", job="x"): (1.0, 0.0)}) as url:
        with pytest.raises(HistoryError, match=POD_BUSY.name):
            read(url)
        assert httpx.get(f"{url}/api/v1/query", params={"query": "up"}).is_success


def test_smaller_parts() -> None:
    """A server with a lower limit is asked in smaller parts, and no time is lost or counted twice."""
    series = {one(Dcgm.GPU_UTIL, namespace="n", pod="p", gpu="0", UUID="a"): (50.0, 0.0)}
    asked: list[float] = []
    with served(series, 7, asked) as url, Prometheus(url) as api:
        (found,) = api.range(Dcgm.GPU_UTIL, Grid(BEGIN, BEGIN + 3000, 60.0), lambda: None)

    assert [BEGIN + 60.0 * index for index in range(51)] == found.times.tolist()
    assert 51 == sum(points for points in asked if points <= 7)
    with (
        served(series, 0) as url,
        Prometheus(url) as api,
        pytest.raises(ServerError, match="too many points"),
    ):
        api.range(Dcgm.GPU_UTIL, Grid(BEGIN, BEGIN + 60, 60.0), lambda: None)
