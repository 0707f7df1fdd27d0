"""Server-sent events: how far a picture is, then the picture, or what went wrong."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from inference.routes_images import told_of
from lightmeter import catalog
from lightmeter.catalog import GpuTime, Outcome, WorkerState
from lightmeter.history import History
from support.server import GENERATIONS, Server, asking, eventually, file


COMPLETED, PROGRESS = "image_generation.completed", "image_generation.progress"
LONG = {"num_inference_steps": 1000, "size": "16x16"}
"""Two seconds for the stand-in."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("data"), "--max-steps", "1000") as running:
        yield running.ready()


@contextlib.contextmanager
def streamed(server: Server, **fields: Any) -> Iterator[httpx.Response]:
    body = {"prompt": "a lighthouse", "stream": True, **fields}
    with server.client.stream("POST", GENERATIONS, json=body) as stream:
        yield stream


def events(stream: httpx.Response) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each event as it comes: its name and its data."""
    name = ""
    for line in stream.iter_lines():
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, json.loads(value)


def all_events(server: Server, **fields: Any) -> list[tuple[str, dict[str, Any]]]:
    with streamed(server, **fields) as stream:
        assert 200 == stream.status_code
        return list(events(stream))


def busy(server: Server) -> bool:
    return server.value(catalog.WORKERS, state=WorkerState.BUSY) == 1


def test_progress(server: Server) -> None:
    """Each step is told of, from 0, and after the last comes the picture."""
    told = all_events(server, num_inference_steps=5)

    assert [(PROGRESS, step, 5) for step in range(6)] == [
        (name, data["step"], data["steps"]) for name, data in told[:-1]
    ]
    assert COMPLETED == told[-1][0]
    assert {True} == {name == data["type"] for name, data in told}


def test_same_as_plain(server: Server) -> None:
    """The last event has the same picture and says the same of it as the whole answer would."""
    plain = server.post(seed=7, size="32x16", output_format="webp")
    [*_, (_, data)] = all_events(server, seed=7, size="32x16", output_format="webp")

    body = plain.json()
    picture = body.pop("data")[0]
    assert set(body) | set(picture) | {"type", "index", "created_at"} == set(data)
    assert file(plain) == base64.b64decode(data["b64_json"])
    assert {name: data[name] for name in ("size", "model", "output_format", "seed")} == {
        "size": "32x16", "model": "still", "output_format": "webp", "seed": 7
    }  # fmt: skip
    assert set(body["timings"]) == set(data["timings"])
    assert data["timings"].pop("total") == pytest.approx(sum(data["timings"].values()), abs=0.005)


def test_several(server: Server) -> None:
    """Two pictures come as two events, each with its place and its seed."""
    told = [data for name, data in all_events(server, n=2, seed=3) if name == COMPLETED]

    assert [(0, 3), (1, 4)] == [(data["index"], data["seed"]) for data in told]
    assert told[0]["id"] == told[1]["id"]


def test_as_it_happens(server: Server) -> None:
    """Progress is told while the picture is made, not afterwards."""
    began = time.monotonic()
    with streamed(server, **LONG) as stream:
        at = [(time.monotonic() - began, data.get("step")) for _, data in events(stream)]

    whole = at[-1][0]
    [half] = [seconds for seconds, step in at if step == 500]
    assert 0.3 * whole < half < 0.7 * whole


def test_headers(server: Server) -> None:
    """A stream is one by its type, and no proxy is to keep or collect it."""
    with streamed(server) as stream:
        kind, keep = stream.headers["content-type"], stream.headers["cache-control"]
        stream.read()

    assert ("text/event-stream; charset=utf-8", "no-store") == (kind, keep)


def test_refused(server: Server) -> None:
    """What is refused before it is accepted is no stream: it has its own status."""
    with streamed(server, n=0) as stream:
        body = json.loads(stream.read())

    assert (422, "n") == (stream.status_code, body["error"]["param"])
    assert "application/json" == stream.headers["content-type"]


def test_full(tmp_path: Path) -> None:
    """A stream for which there is no place is a 429 like every other."""
    options = ("--max-steps", "1000", "--batch", "1", "--queue", "1")
    with (
        Server(tmp_path, *options) as server,
        asking(server.ready(), LONG, LONG),
        streamed(server) as stream,
    ):
        stream.read()

    assert (429, True) == (stream.status_code, int(stream.headers["retry-after"]) > 0)


def test_too_large(server: Server) -> None:
    """What turns out not to fit the device once it is tried is an error event with its status."""
    *_, (name, data) = all_events(server, size="2048x2048", n=4)

    assert ("error", 507) == (name, data["status"])


def test_quiet() -> None:
    """A stream without news sends comments, so that no proxy hangs up, and ends when the work does."""

    async def run() -> list[bytes]:
        working, news = asyncio.get_running_loop().create_future(), asyncio.Queue[Any]()
        asyncio.get_running_loop().call_later(0.25, working.set_result, None)
        working.add_done_callback(lambda _: news.put_nowait(None))
        return [event async for event in told_of(working, (0, 2), news, quiet=0.1)]

    first, *rest = asyncio.run(run())
    assert b'"step": 0' in first
    assert [b": still here\n\n"] * 2 == rest


def test_queued(server: Server) -> None:
    """A stream that waits for its turn is open from the beginning, and told nothing until then."""
    with asking(server, LONG), streamed(server, num_inference_steps=2) as stream:
        told = events(stream)
        accepted = next(told)[1]["step"], busy(server)
        rest = [data.get("step") for _, data in told]

    assert (0, True) == accepted
    assert [1, 2, None] == rest


def test_leaves(tmp_path: Path) -> None:
    """A client that hangs up ends the work; what it had taken is counted as abandoned."""
    with Server(tmp_path, "--max-steps", "1000") as server:
        with streamed(server.ready(), **LONG) as stream:
            told = events(stream)
            while next(told)[1].get("step") != 100:
                pass
        assert eventually(lambda: not busy(server))
        abandoned = server.value(catalog.GPU_SECONDS, kind=GpuTime.ABANDONED)
        cancelled = server.value(catalog.REQUESTS, outcome=Outcome.CANCELLED)
        left = server.value(catalog.IN_FLIGHT)

    assert 0.2 < abandoned < 1.5
    assert (1, 0) == (cancelled, left)
    assert {"cancelled": 1} == History(tmp_path / "history").summary()["outcomes"]


def test_leaves_at_once(tmp_path: Path) -> None:
    """So it does where the client is gone before the first byte of the answer."""
    body = json.dumps({"prompt": "x", "stream": True, **LONG}).encode()
    head = f"POST {GENERATIONS} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    with Server(tmp_path, "--max-steps", "1000", "--batch", "1") as server:
        server.ready()
        for _ in range(20):
            with server.connect() as client:
                client.sendall(head.encode() + body)
        assert eventually(lambda: History(server.history).summary()["rows"] == 20)
        assert eventually(lambda: server.value(catalog.IN_FLIGHT) == 0)
        useful = server.value(catalog.GPU_SECONDS, kind=GpuTime.USEFUL)
        log = "".join(server.log)

    assert 0 == useful
    assert "Traceback" not in log
    assert "never retrieved" not in log
    assert {"cancelled": 20} == History(tmp_path / "history").summary()["outcomes"]


def test_late(tmp_path: Path) -> None:
    """A deadline that passes after the stream has begun is an error event with its status."""
    with Server(tmp_path, "--max-steps", "1000", "--deadline", "0.5") as server:
        *_, (name, data) = all_events(server.ready(), **LONG)

    assert ("error", 504, "deadline") == (name, data["status"], data["error"]["type"])


def test_two_deaths(tmp_path: Path) -> None:
    """A stream whose worker dies is made by the next; after two deaths it ends with an error event."""
    begins, told = 0, []
    with Server(tmp_path, "--max-steps", "1000") as server:
        with streamed(server.ready(), **LONG) as stream:
            for event in events(stream):
                told.append(event)
                if event[1].get("step") == 10:
                    begins += 1
                    os.kill(server.worker_pids()[0], signal.SIGKILL)
        assert eventually(lambda: server.post().status_code == 200)

    name, data = told[-1]
    assert 2 == begins
    assert ("error", 503) == (name, data["status"])
    assert "died twice" in data["error"]["message"]
