"""Three times the load that the server can take: what becomes of those let in and those sent away.

The stand-in model, whose call of 100 steps takes a fifth of a second however large; arrivals are Poisson and wait
for nobody. A client that is refused comes back once, after `Retry-After`, with the same body. The
last two runs have clients that never come back, with and without room kept for those who would.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

from bench import common


common.support()
BOUND_SECONDS = 5.0
OPTIONS = (
    *("--batch", "4", "--queue", "10000", "--max-wait", f"{BOUND_SECONDS:g}", "--max-steps", "200"),
    *("--seal-rows", "200"),  # what sealing loads is loaded before the memory is looked at
)
TIMES = 3.0
SETTLED_SECONDS = 10.0
LEAST_KEPT = 0.8
LEAST_BUSY = 0.97
MOST_GROWTH_MIB = 8.0
"""A minute; five thousand promises take two."""
WITHOUT_ROOM = """
import sys
from inference.admission import Admission
from lightmeter.cli import main
Admission._reserved = lambda *_: (0, 0.0)
main(sys.argv[1:])
"""
Mix = Callable[[np.random.Generator], dict[str, Any]]


def alike(chance: np.random.Generator) -> dict[str, Any]:
    """Return requests of one shape."""
    return {"prompt": f"{chance.random()}", "size": "16x16", "num_inference_steps": 100}


def mixed(chance: np.random.Generator) -> dict[str, Any]:
    """Return requests of three shapes and two classes; some take four times as long as others."""
    steps = int(chance.choice([50, 100, 100, 200]))
    priority = "batch" if chance.random() < 0.2 else "interactive"
    return alike(chance) | {"num_inference_steps": steps, "priority": priority}


@dataclass
class Seen:
    """What became of the requests of one run. Times are seconds since its beginning."""

    done: list[tuple[float, float]] = field(default_factory=list)
    """When each picture was there, and how long it had waited in the queue."""
    statuses: Counter[int] = field(default_factory=Counter)
    again: Counter[int] = field(default_factory=Counter)
    """Statuses of the first returns."""
    told: list[int] = field(default_factory=list)
    """Each `Retry-After`, seconds."""
    memory: list[tuple[float, float]] = field(default_factory=list)
    """When the API process held so many MiB."""

    def note(self, answer: httpx.Response, at: float, *, again: bool = False) -> None:
        """Take an answer in."""
        (self.again if again else self.statuses)[answer.status_code] += 1
        if answer.status_code == 200:
            self.done.append((at, answer.json()["timings"]["queue"]))
        if answer.status_code == 429:
            self.told.append(int(answer.headers["retry-after"]))

    def served(self, seconds: float) -> float:
        """Pictures a second, once the queue was full."""
        return sum(SETTLED_SECONDS < at < seconds for at, _ in self.done) / (
            seconds - SETTLED_SECONDS
        )

    @property
    def kept(self) -> float:
        """Share of those who came back that were let in."""
        return self.again[200] / (self.again.total() or 1)

    @property
    def growth(self) -> float:
        """Slope of the memory by least squares, MiB a minute."""
        at, size = np.array([one for one in self.memory if one[0] > SETTLED_SECONDS]).T
        return float(np.polyfit(at, size, 1)[0] * 60)


def main() -> None:
    """Run the four loads one after the other, print, and compare with what is promised."""
    args = common.arguments(__doc__)
    runs = [
        ("one shape", _run(alike, 60.0)),
        ("mixed", _run(mixed, 60.0)),
        ("nobody returns", _run(alike, 30.0, returns=False)),
        ("nobody returns, no room kept", _run(alike, 30.0, returns=False, program=WITHOUT_ROOM)),
    ]
    rows = [_row(name, *run) for name, run in runs]
    failures = [line for name, run in runs for line in _missed(name, run[2])]
    with_room, without = (row["served/s"] for row in rows[2:])
    if with_room < LEAST_BUSY * without:
        failures.append(f"keeping room costs {1 - with_room / without:.1%} of the throughput")
    common.finish(args, common.machine("fastapi", "uvicorn"), rows, failures)


def _row(name: str, capacity: float, seconds: float, seen: Seen) -> dict[str, Any]:
    waits = [wait for _, wait in seen.done]
    return {
        "load": name,
        "capacity/s": capacity,
        "offered/s": seen.statuses.total() / seconds,
        "served/s": seen.served(seconds),
        "refused": seen.statuses[429],
        "told, median s": statistics.median(seen.told),
        "told, most s": max(seen.told),
        "let in at first return": f"{seen.kept:.1%}" if seen.again else "",
        "queue p99 s": float(np.quantile(waits, 0.99)),
        "queue max s": max(waits),
        "MiB a minute": seen.growth,
    }


def _missed(name: str, seen: Seen) -> list[str]:
    waits = max(wait for _, wait in seen.done)
    faults = {
        f"somebody waited {waits:.2f} s, {BOUND_SECONDS:g} s is the bound": waits > BOUND_SECONDS,
        f"{seen.kept:.1%} let in at their first return": bool(seen.again) and seen.kept < LEAST_KEPT,
        f"statuses {set(seen.statuses + seen.again)}": not {200, 429} >= set(seen.statuses + seen.again),
        f"memory grows by {seen.growth:.1f} MiB a minute": seen.growth > MOST_GROWTH_MIB,
    }  # fmt: skip
    return [f"{name}: {fault}" for fault, there in faults.items() if there]


def _run(
    mix: Mix, seconds: float, *, returns: bool = True, program: str | None = None
) -> tuple[float, float, Seen]:
    """Measure the capacity of a fresh server, pictures a second, then overload it for so long."""
    from support.server import Server

    run = ("-c", program) if program else ("-m", "lightmeter.cli")
    with (
        tempfile.TemporaryDirectory() as folder,
        Server(Path(folder), *OPTIONS, program=run) as server,
    ):
        url, process = server.ready().api, psutil.Process(server.process.pid)
        capacity = asyncio.run(_capacity(url, mix))
        load = Load(url, mix, rate=TIMES * capacity, returns=returns)
        return capacity, seconds, asyncio.run(load.run(seconds, process))


async def _capacity(url: str, mix: Mix, seconds: float = 10.0, clients: int = 24) -> float:
    """Pictures a second when so many clients ask again as soon as they are answered."""
    chance, done = np.random.default_rng(1), 0

    async def client() -> None:
        nonlocal done
        while time.monotonic() < end:
            answer = await http.post("/v1/images/generations", json=mix(chance))
            done += answer.status_code == 200 and end - seconds < time.monotonic() < end

    async with _client(url) as http:
        end = time.monotonic() + 3 + seconds
        await asyncio.gather(*(client() for _ in range(clients)))
    return done / seconds


@dataclass
class Load:
    """Poisson arrivals at ``rate`` a second, who come back once if ``returns``."""

    url: str
    mix: Mix
    rate: float
    returns: bool
    seen: Seen = field(default_factory=Seen)

    async def run(self, seconds: float, process: psutil.Process) -> Seen:
        """Let requests arrive for so long, and wait for all of them."""
        chance, self._begin = np.random.default_rng(2), time.monotonic()
        due = self._begin
        async with _client(self.url) as self._http, asyncio.TaskGroup() as tasks:
            sampling = tasks.create_task(self._sample(process, seconds))
            while due < self._begin + seconds:
                await asyncio.sleep(due - time.monotonic())
                tasks.create_task(self._ask(self.mix(chance)))
                due += chance.exponential(1 / self.rate)
            await sampling
        return self.seen

    async def _ask(self, body: dict[str, Any]) -> None:
        answer = await self._http.post("/v1/images/generations", json=body)
        self.seen.note(answer, time.monotonic() - self._begin)
        if answer.status_code == 429 and self.returns:
            await asyncio.sleep(int(answer.headers["retry-after"]))
            answer = await self._http.post("/v1/images/generations", json=body)
            self.seen.note(answer, time.monotonic() - self._begin, again=True)

    async def _sample(self, process: psutil.Process, seconds: float) -> None:
        while (at := time.monotonic() - self._begin) < seconds:
            self.seen.memory.append((at, process.memory_info().rss / 2**20))
            await asyncio.sleep(1)


def _client(url: str) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=None, keepalive_expiry=2.0)
    return httpx.AsyncClient(base_url=url, timeout=60, limits=limits, trust_env=False)


if __name__ == "__main__":
    main()
