"""What a scrape does to the requests beside it.

Somebody scrapes without a pause; what is compared is the longest answer with that and without, of
``GET /healthz`` and of a picture of four steps. The peer is the usual way: FastAPI with
prometheus_client's own `make_asgi_app` in the same event loop, with the same series. The servers
take turns. The longest of some thousand answers is the machine's as much as the server's, so each
figure is the least over the rounds: what a scrape causes is in every round.
"""

from __future__ import annotations

import http.client
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from bench import common


common.support()
ROUNDS, SECONDS = 3, 6.0
MOST_MILLISECONDS = 50.0
PICTURE = {"prompt": "a red fox in snow", "size": "16x16", "num_inference_steps": 4, "seed": 1}
_PEER = """
import asyncio, sys
import uvicorn
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, make_asgi_app
from inference.instruments import Instruments

registry = CollectorRegistry()
Instruments(registry, "still", "still")
app = FastAPI()
app.mount("/metrics", make_asgi_app(registry))

@app.get("/healthz")
async def healthz():
    return {"status": "ok"}

@app.post("/v1/images/generations")
async def generate(body: dict):
    await asyncio.sleep(0.008)
    return {"data": [{"b64_json": "x" * 1000}]}

uvicorn.run(app, port=int(sys.argv[1]), log_level="error")
"""
_SCRAPER = """
import sys, time, urllib.request
end, count = time.monotonic() + float(sys.argv[2]), 0
while time.monotonic() < end:
    urllib.request.urlopen(sys.argv[1]).read()
    count += 1
print(count)
"""


@dataclass(frozen=True)
class Server:
    """Where a server listens."""

    name: str
    api: str
    metrics: str


def main() -> None:
    """Measure both servers in turns, print, and compare ours with the bound."""
    args = common.arguments(__doc__)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder, _ours(Path(folder)) as ours, _peer() as peer:
        for what, path, body in (
            ("healthz", "/healthz", None),
            ("picture", "/v1/images/generations", PICTURE),
        ):
            rows += [_row(server, what, path, body) for server in (ours, peer)]
    failures = [
        f"{row['request']}: a scrape adds {row['added, ms']:.1f} ms"
        for row in rows
        if row["server"] == "lightmeter" and row["added, ms"] > MOST_MILLISECONDS
    ]
    common.finish(args, common.machine("fastapi", "prometheus-client", "uvicorn"), rows, failures)


def _row(server: Server, what: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
    alone, beside, scrapes = [], [], 0
    for _ in range(ROUNDS):
        alone.append(_latencies(server.api, path, body))
        with subprocess.Popen(
            [sys.executable, "-c", _SCRAPER, server.metrics, str(SECONDS + 0.5)], stdout=subprocess.PIPE, text=True
        ) as scraper:  # fmt: skip
            time.sleep(0.5)  # it starts
            beside.append(_latencies(server.api, path, body))
            scrapes += int(scraper.communicate()[0])
    longest = [min(map(max, rounds)) * 1000 for rounds in (alone, beside)]
    return {
        "request": what,
        "server": server.name,
        "series": _series(server),
        "scrapes/s": scrapes / ROUNDS / (SECONDS + 0.5),
        "median alone, ms": _median(alone),
        "median scraped, ms": _median(beside),
        "longest alone, ms": longest[0],
        "longest scraped, ms": longest[1],
        "added, ms": longest[1] - longest[0],
    }


def _median(rounds: list[list[float]]) -> float:
    return statistics.median(itertools.chain.from_iterable(rounds)) * 1000


def _latencies(url: str, path: str, body: dict[str, Any] | None) -> list[float]:
    """Seconds of one request after the other on one connection."""
    address = httpx.URL(url)
    connection = http.client.HTTPConnection(address.host, address.port, timeout=30)
    seconds, end = [], time.monotonic() + SECONDS
    while time.monotonic() < end:
        begin = time.perf_counter()
        if body:
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        else:
            connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        seconds.append(time.perf_counter() - begin)
        if answer.status != 200:
            raise SystemExit(f"{path} answered {answer.status}")
        time.sleep(0.002)
    connection.close()
    return seconds


def _series(server: Server) -> int:
    text = httpx.get(server.metrics, trust_env=False, follow_redirects=True).text
    return sum(not line.startswith("#") for line in text.splitlines())


@contextmanager
def _ours(folder: Path) -> Iterator[Server]:
    from support.server import Server as Running

    with Running(folder) as server:
        yield Server("lightmeter", server.ready().api, server.metrics_url)


@contextmanager
def _peer() -> Iterator[Server]:
    url = "http://127.0.0.1:18001"
    with subprocess.Popen([sys.executable, "-c", _PEER, "18001"]) as process:
        while True:
            try:
                httpx.get(url, trust_env=False)
                break
            except httpx.TransportError:
                time.sleep(0.1)
        try:
            yield Server("make_asgi_app in the loop", url, f"{url}/metrics/")
        finally:
            process.terminate()


if __name__ == "__main__":
    main()
