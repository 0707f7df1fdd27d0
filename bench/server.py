"""The server at saturation, beside the usual lock-and-generate server and a bare loop.

The same tiny pipeline, cores and threads; 16 clients, each asking again as soon as it is answered;
the two servers take turns. The bare loop calls the pipeline with the batch sizes that ours reached.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from bench import common


CLIENTS, SECONDS, ROUNDS = 16, 8.0, 2
LEAST = {64: (3.0, 0.95), 256: (1.15, 0.95)}
"""By picture side: least ratio to the lock server, least ratio to the bare loop."""


def main() -> None:
    """Measure both servers at each size, in turns, then the bare loop."""
    args = common.arguments(__doc__)
    common.support()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _build(folder / "model")
        rows = [row for side in LEAST for row in _compare(folder, side)]
    failures = [failure for row in rows if (failure := row.pop("missed"))]
    common.finish(args, common.machine("torch", "diffusers", "uvicorn"), rows, failures)


def _build(folder: Path) -> None:
    code = f"from pathlib import Path; from inference.tinymodel import build_tiny; build_tiny(Path({str(folder)!r}))"
    common.run(sys.executable, "-c", code)


def _compare(folder: Path, side: int) -> list[dict[str, Any]]:
    seen: dict[str, list[list[tuple[float, int]]]] = {"lightmeter": [], "lock server": []}
    for _ in range(ROUNDS):
        with _ours(folder) as url:
            seen["lightmeter"].append(asyncio.run(_saturate(url, side)))
        with _usual(folder) as url:
            seen["lock server"].append(asyncio.run(_saturate(url, side)))
    batch = round(statistics.mean(size for run in seen["lightmeter"] for _, size in run))
    bare = _bare_loop(folder, side, batch)
    rates = {name: max(len(run) for run in runs) / SECONDS for name, runs in seen.items()}
    rates[f"bare loop, batches of {batch}"] = bare
    ours, usual = rates["lightmeter"], rates["lock server"]
    least_usual, least_bare = LEAST[side]
    missed = ""
    if ours < least_usual * usual:
        missed = f"{side} px: {ours / usual:.2f} times the lock server, {least_usual} is asked for"
    elif ours < least_bare * bare:
        missed = f"{side} px: {ours / bare:.2f} of the bare loop, {least_bare} is asked for"
    return [
        {
            "side, px": side,
            "server": name,
            "pictures/s": rate,
            "lightmeter x": ours / rate,
            "p95 s": _p95(seen[name]) if name in seen else "",
            "missed": missed if name == "lightmeter" else "",
        }
        for name, rate in rates.items()
    ]


def _p95(runs: list[list[tuple[float, int]]]) -> float:
    return statistics.quantiles([seconds for run in runs for seconds, _ in run], n=20)[-1]


async def _saturate(url: str, side: int) -> list[tuple[float, int]]:
    """Keep the server full; return (latency, batch size) of each answer within the time."""
    done: list[tuple[float, int]] = []
    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
        await asyncio.gather(*(_ask(client, side, seed) for seed in range(4)))
        end = time.perf_counter() + SECONDS

        async def ask_again(number: int) -> None:
            seed = number * 100_000
            while time.perf_counter() < end:
                seed += 1
                answer = await _ask(client, side, seed)
                if time.perf_counter() < end:
                    done.append(answer)

        await asyncio.gather(*(ask_again(number) for number in range(CLIENTS)))
    return done


async def _ask(client: httpx.AsyncClient, side: int, seed: int) -> tuple[float, int]:
    begin = time.perf_counter()
    body = {"prompt": "a red fox in snow", "size": f"{side}x{side}", "seed": seed}
    answer = await client.post("/v1/images/generations", json=body)
    answer.raise_for_status()
    usage = answer.json().get("usage", {})
    return time.perf_counter() - begin, usage.get("batch_size", 1)


@contextmanager
def _ours(folder: Path) -> Iterator[str]:
    from support.server import Server

    with Server(folder / "data", "--threads", "1", model=str(folder / "model")) as server:
        yield server.ready().api


@contextmanager
def _usual(folder: Path) -> Iterator[str]:
    port = 18_000
    command = [sys.executable, "-m", "bench.lock_server", folder / "model", str(port), "1"]
    with subprocess.Popen(
        list(map(str, command)), cwd=common.ROOT, stderr=subprocess.DEVNULL
    ) as process:
        url = f"http://127.0.0.1:{port}"
        while True:
            try:
                httpx.get(url, trust_env=False)
                break
            except httpx.TransportError:
                time.sleep(0.1)
        try:
            yield url
        finally:
            process.terminate()


_LOOP = """
import sys, time
from inference.engine import Job
from inference import zimage
from inference.setup import Setup
side, batch, seconds = int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
engine = zimage.load(sys.argv[1], Setup(device="cpu")).engine
jobs = [Job(prompt="a red fox in snow", negative_prompt=None, width=side, height=side, images=1, steps=8, guidance=0.0, seed=n) for n in range(batch)]
engine.generate(jobs, lambda: False)
end, made = time.perf_counter() + seconds, 0
while time.perf_counter() < end:
    engine.generate(jobs, lambda: False)
    made += batch
print(made / seconds)
"""


def _bare_loop(folder: Path, side: int, batch: int) -> float:
    _, out = common.run(
        sys.executable, "-c", _LOOP, folder / "model", str(side), str(batch), str(SECONDS)
    )
    return float(out)


if __name__ == "__main__":
    main()
