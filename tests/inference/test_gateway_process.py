"""The gateway's process in front of real servers: streams, leaving, kills, jobs, its end."""

from __future__ import annotations

import json
import re
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from lightmeter import catalog
from lightmeter.catalog import CATALOG
from support.cli import lightmeter
from support.gateway import Gateway
from support.server import GENERATIONS, HALF, Server, eventually, fetch


ALLOWED = ("--max-steps", "1000", "--batch", "1")


def lasting(seconds: float) -> dict[str, Any]:
    """Return a request that takes the stand-in so long: it sleeps at least 2 ms a step."""
    return {"num_inference_steps": round(seconds * 500), "size": "16x16"}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    folder = tmp_path_factory.mktemp("replicas")
    with (
        Server(folder / "a", *ALLOWED, "--replica", "a") as a,
        Server(folder / "b", *ALLOWED, "--replica", "b") as b,
    ):
        yield [a.ready(), b.ready()]


@pytest.fixture(scope="module")
def gateway(servers: list[Server]) -> Iterator[Gateway]:
    with Gateway(",".join(server.api for server in servers), "--in-flight", "4") as running:
        yield running.replicas(2)


def at_work(servers: list[Server]) -> float:
    return sum(server.value(catalog.IN_FLIGHT) for server in servers)


def test_openai(gateway: Gateway) -> None:
    """OpenAI's own client makes a picture through it, unchanged."""
    own = openai.DefaultHttpxClient(trust_env=False)
    with openai.OpenAI(base_url=f"{gateway.api}/v1", api_key="none", http_client=own) as client:
        made = client.images.generate(prompt="a fox", size="256x256")
        models = [model.id for model in client.models.list()]

    assert made.data
    assert made.data[0].b64_json
    assert ["still"] == models


def test_stream(gateway: Gateway) -> None:
    """Each step is told as it comes: the first ones are there long before the picture."""
    asked = {"prompt": "a fox", "stream": True, **lasting(2)}
    with gateway.client.stream("POST", GENERATIONS, json=asked) as answer:
        moments = [(time.monotonic(), chunk) for chunk in answer.iter_raw()]

    assert "text/event-stream; charset=utf-8" == answer.headers["content-type"]
    steps = [at for at, chunk in moments if b"image_generation.progress" in chunk]
    assert len(steps) > 20
    assert moments[-1][0] - steps[0] > 1.0
    assert b"image_generation.completed" in moments[-1][1] or b"image_generation.completed" in moments[-2][1]  # fmt: skip


def test_leaving(gateway: Gateway, servers: list[Server]) -> None:
    """A client that leaves takes its request with it, from the line and from the replica."""
    before = gateway.value(catalog.REQUESTS, outcome="cancelled")
    with gateway_socket(gateway) as one:
        one.sendall(request({"prompt": "x", **lasting(2)}))
        assert eventually(lambda: at_work(servers) == 1)
    assert eventually(lambda: at_work(servers) == 0, seconds=3)
    assert eventually(lambda: gateway.value(catalog.REQUESTS, outcome="cancelled") == before + 1)
    assert 0 == gateway.value(catalog.IN_FLIGHT)


def gateway_socket(gateway: Gateway) -> socket.socket:
    url = httpx.URL(gateway.api)
    return socket.create_connection((url.host, url.port or 80))


def request(body: dict[str, Any]) -> bytes:
    data = json.dumps(body).encode()
    return b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (GENERATIONS.encode(), len(data), data)  # fmt: skip


def test_jobs(gateway: Gateway) -> None:
    """Jobs are found at the replica that has them, and cancelled there; pictures and ratings too."""
    with ThreadPoolExecutor(6) as pool:
        jobs = list(pool.map(lambda _: gateway.client.post("/v1/jobs", json={"prompt": "x", **lasting(0.5)}).json(), range(6)))  # fmt: skip
    assert {"a", "b"} == {job["id"].split("_")[1] for job in jobs}
    done = [job["id"] for job in jobs[1:]]
    assert 200 == gateway.client.delete(f"/v1/jobs/{jobs[0]['id']}").status_code
    assert eventually(lambda: all(gateway.client.get(f"/v1/jobs/{name}").json()["status"] == "succeeded" for name in done))  # fmt: skip

    kept = [gateway.post(response_format="url").json() for _ in range(4)]
    addresses = [one["data"][0]["url"] for one in kept]
    assert all(url.startswith(gateway.api) for url in addresses)
    assert [200] * 4 == [httpx.get(url, trust_env=False).status_code for url in addresses]
    rated = [gateway.client.post("/v1/feedback", json={"request_id": one["id"], "score": 5}).status_code for one in kept]  # fmt: skip
    assert [200] * 4 == rated


def test_beside(gateway: Gateway) -> None:
    """The page and its files are there; what is about one server is not, and says so."""
    assert "<html" in gateway.client.get("/").text
    assert gateway.client.get("/openapi.json").json()["paths"]
    assert "gateway" == gateway.client.get("/version").json()["role"]
    assert [404, 404, 405] == [
        gateway.client.request(method, path).status_code
        for method, path in (("PUT", "/admin/limits"), ("GET", "/nothing"), ("GET", "/v1/jobs"))
    ]


def test_hostile(gateway: Gateway) -> None:
    """Half a request, nonsense and a body that is too large hold up nobody, and are answered as a server does."""
    half = gateway_socket(gateway)
    half.sendall(HALF)
    with gateway_socket(gateway) as large:
        large.sendall(b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n" % GENERATIONS.encode())  # fmt: skip
        assert large.recv(100).startswith(b"HTTP/1.1 413")
    with gateway_socket(gateway) as nonsense:
        nonsense.sendall(b"\x16\x03\x01 what?\r\n\r\n")
        assert nonsense.recv(100).startswith(b"HTTP/1.1 400")
    with gateway_socket(gateway) as smuggled:
        smuggled.sendall(b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /admin/workers HTTP/1.1\r\nHost: x\r\n\r\n" % GENERATIONS.encode())  # fmt: skip
        assert re.match(rb"HTTP/1.1 4\d\d", smuggled.recv(100))
    assert 200 == gateway.post().status_code
    half.close()


def test_first_scrape() -> None:
    """All that the scaler reads of a gateway is there with no replica at all, zeros included."""
    with Gateway("http://127.0.0.1:9") as alone:
        text = fetch(alone.metrics_url).text
        ready = alone.client.get("/readyz")

    shown = {metric.name for metric in CATALOG if re.search(rf"^{metric.name}(_bucket)?{{", text, re.MULTILINE)}  # fmt: skip
    read = (catalog.REQUESTS, catalog.OFFERED_WORK, catalog.QUEUE_DEPTH, catalog.IN_FLIGHT, catalog.ACTIVE_USERS, catalog.REQUEST_DURATION, catalog.STAGE_DURATION, catalog.SHED)  # fmt: skip
    own = {metric.name for metric in CATALOG if metric.room == "gateway"}
    assert {metric.name for metric in read} | own == shown
    assert 503 == ready.status_code  # nobody is there, and nobody could be woken
    assert 'lightmeter_in_flight_requests{model="any",service="gateway"} 0' in text


def test_drain(servers: list[Server]) -> None:
    """On SIGTERM who is there is answered, who comes is sent on, and the exit code is 0."""
    with Gateway(servers[0].api, "--in-flight", "1") as gateway:
        gateway.replicas(1)
        with ThreadPoolExecutor(2) as pool:
            asked = [pool.submit(gateway.post, lasting(1)) for _ in range(2)]
            assert eventually(lambda: gateway.value(catalog.IN_FLIGHT) == 2)
            gateway.process.send_signal(signal.SIGTERM)
            assert eventually(lambda: gateway.client.get("/readyz").status_code == 503)
            refused = gateway.post()
            statuses = [one.result().status_code for one in asked]
        code = gateway.process.wait(30)

    assert [200, 200] == statuses
    assert (503, "draining") == (refused.status_code, refused.json()["error"]["type"])
    assert 0 == code


def test_refused(tmp_path: Path) -> None:
    """What cannot be used is refused in one line, before anything listens."""
    said = lightmeter("gateway", "--upstream", "zimage:7860", cwd=tmp_path).refusal()

    assert "'zimage:7860' is no address" in said
