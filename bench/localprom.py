"""localprom beside Prometheus: all panels of each board, and range queries, on the same samples; and what keeping them costs.

Needs Debian's package prometheus.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import uvicorn

from bench import common
from lightmeter.localprom.api import Api
from lightmeter.localprom.archive import Archive
from lightmeter.localprom.keep import Keeper
from lightmeter.localprom.labels import pack
from lightmeter.localprom.scrape import Scraper, Target
from lightmeter.localprom.store import Store


common.support()
from support import past, shipped  # noqa: E402 (after support)


STEP_MS, STEPS, SERIES = 5000, 120, 100
SAMPLES = 2880  # four hours
INGESTED, ROUNDS = 2000, 200
NODES = 8
DAY_SECONDS = 86_400
QUERIES = (
    "made_total",
    "rate(made_total[5m])",
    "sum by (zone) (rate(made_total[5m]))",
    "topk(5, rate(made_total[5m]))",
    "max_over_time(made_total[10m])",
    "quantile_over_time(0.9, made_total[5m])",
    "made_total / on (instance) made_total",
    "histogram_quantile(0.95, sum by (le, zone) (rate(made_seconds_bucket[5m])))",
    "max_over_time(rate(made_total[1m])[10m:30s])",
)


def _past() -> past.Past:
    rng = np.random.default_rng(5)
    times = past.BEGIN_MS + STEP_MS * np.arange(SAMPLES, dtype=np.int64)
    made: past.Past = {}
    for number in range(SERIES):
        labels = {"instance": f"host-{number}", "zone": f"z{number % 7}"}
        made[pack({"__name__": "made_total", **labels})] = (times, np.cumsum(rng.poisson(3, SAMPLES)).astype(float))  # fmt: skip
        counts = np.cumsum(rng.poisson(2, (SAMPLES, 5)), axis=0).cumsum(axis=1).astype(float)
        for edge, column in zip(("0.1", "0.5", "1.0", "5.0", "+Inf"), counts.T, strict=True):
            made[pack({"__name__": "made_seconds_bucket", "le": edge, **labels})] = (times, column)
    return made


@contextmanager
def _served(store: Store) -> Iterator[httpx.Client]:
    server = uvicorn.Server(uvicorn.Config(Api(Keeper(store)).app(), port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as client:
        yield client
    server.should_exit = True
    thread.join()


def _milliseconds(client: httpx.Client, query: str, end: float) -> float:
    given: dict[str, str | float] = {
        "query": query,
        "start": end - STEPS * 60,
        "end": end,
        "step": 60,
    }
    took = []
    for _ in range(7):
        begun = time.perf_counter()
        client.get("/api/v1/query_range", params=given).raise_for_status()
        took.append(1000 * (time.perf_counter() - begun))
    return statistics.median(took)


def queries() -> dict[str, tuple[float, float]]:
    """Ask both: milliseconds of localprom and of Prometheus, by query."""
    made = _past()
    with tempfile.TemporaryDirectory() as folder, past.prometheus(made, Path(folder)) as theirs, _served(past.as_store(made)) as ours:  # fmt: skip
        end = (past.BEGIN_MS + STEP_MS * SAMPLES) / 1000
        return {query: (_milliseconds(ours, query, end), _milliseconds(theirs, query, end)) for query in QUERIES}  # fmt: skip


def boards() -> dict[str, tuple[float, float]]:
    """Ask both for every panel and mark of each board: milliseconds in all, by board."""
    asked = shipped.panels()
    made = shipped.asked_for([query for queries in asked.values() for query in queries], NODES)
    with tempfile.TemporaryDirectory() as folder, past.prometheus(made, Path(folder)) as theirs, _served(past.as_store(made)) as ours:  # fmt: skip
        end = (past.BEGIN_MS + past.STEP_MS * past.SAMPLES) / 1000
        return {board: (sum(_milliseconds(ours, query, end) for query in queries), sum(_milliseconds(theirs, query, end) for query in queries)) for board, queries in asked.items()}  # fmt: skip


def ingest() -> dict[str, float]:
    """Scrape 2,000 series again and again: share of a core at 5 s, and MB on disk for a day."""
    rng = np.random.default_rng(1)
    values = np.zeros(INGESTED)
    page = {"text": ""}
    transport = httpx.MockTransport(lambda _: httpx.Response(200, text=page["text"]))

    async def scraped(folder: str) -> float:
        used = 0.0
        async with httpx.AsyncClient(transport=transport) as client:
            keeper = Keeper(Store(), Archive(Path(folder)))
            scraper = Scraper(Target("http://host/metrics", "j"), keeper, client)
            for turn in range(ROUNDS):
                moved = rng.random(INGESTED) < 0.3
                values[moved] += rng.poisson(3, moved.sum())
                values[:100] = rng.normal(size=100)
                page["text"] = "".join(f'made{{at="{at}",kind="some"}} {value!r}\n' for at, value in enumerate(values.tolist()))  # fmt: skip
                begun = time.process_time()
                await scraper.scrape(turn * STEP_MS)
                used += time.process_time() - begun
        return used

    with tempfile.TemporaryDirectory() as folder:
        used = asyncio.run(scraped(folder))
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
    seconds = ROUNDS * STEP_MS / 1000
    return {"core": used / seconds, "megabytes_a_day": size / 1e6 * DAY_SECONDS / seconds}


def main() -> None:
    """Measure, print."""
    given = common.arguments(__doc__)
    found: dict[str, Any] = {"machine": common.machine("numpy", "promql-parser"), "boards": boards(), "queries": queries(), "ingest": ingest()}  # fmt: skip
    if given.json:
        print(json.dumps(found))
        return
    print(found["machine"])
    for query, (ours, theirs) in {**found["boards"], **found["queries"]}.items():
        print(f"{query:80} {ours:8.1f} ms, Prometheus {theirs:8.1f} ms, {ours / theirs:.1f}x")
    print(found["ingest"])


if __name__ == "__main__":
    main()
