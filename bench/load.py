"""``lightmeter load`` beside a bare httpx loop and AIPerf, on one server of grey pictures.

The clients take turns, each as a closed loop: at a pace that the server sets (1 client, 25 steps
of 2 ms), where all must see the same latencies, and as fast as they can (16 clients, one step), where
the client's own cost shows. AIPerf (https://github.com/ai-dynamo/aiperf) is taken from the variable
AIPERF or the path, and left out where there is none; give it an environment of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np

from bench import common


ROUNDS = 3
LEAST_RATE, MOST_APART = 0.95, 0.05
"""Least rate beside the peers', greatest distance of the medians where the server sets the pace."""


@dataclass(frozen=True)
class Task:
    """A closed loop of requests for pictures of 64x64."""

    name: str
    clients: int
    steps: int
    requests: int
    warmup: int = 32


TASKS = (Task("server's pace", 1, 25, 100), Task("flat out", 16, 1, 1600))


@dataclass(frozen=True)
class Seen:
    """What a client says of a task: requests a second, latencies and CPU in seconds."""

    rate: float
    p50: float
    p95: float
    cpu: float


Client = Callable[[Task, str, Path], Seen]


def main() -> None:
    """Let the clients take turns, and compare their medians."""
    args = common.arguments(__doc__)
    common.support()
    from support.server import Server

    clients = _clients()
    rows, failures = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Server(folder / "data", "--queue", "1000") as server:
            url = server.ready().api
            for task in TASKS:
                seen: dict[str, list[Seen]] = {client: [] for client in clients}
                for _ in range(ROUNDS):
                    for client, run in clients.items():
                        seen[client].append(run(task, url, folder))
                found = {client: _median(rounds) for client, rounds in seen.items()}
                rows += [_row(task, client, found) for client in found]
                failures += _missed(task, found)
    about = common.machine("httpx", "httpcore") | {"aiperf": _aiperf_version(clients)}
    common.finish(args, about, rows, failures)


def _clients() -> dict[str, Client]:
    found: dict[str, Client] = {"lightmeter load": _ours, "bare httpx loop": _bare}
    return found | ({"AIPerf": _aiperf} if _aiperf_path() else {})


def _aiperf_path() -> str | None:
    return os.environ.get("AIPERF") or shutil.which("aiperf")


def _aiperf_version(clients: dict[str, Client]) -> str:
    path = _aiperf_path()
    if "AIPerf" not in clients or not path:
        return "skipped, no AIPERF named and none on the path"
    return common.run(path, "--version")[1].strip()


def _median(rounds: list[Seen]) -> Seen:
    columns = zip(*((one.rate, one.p50, one.p95, one.cpu) for one in rounds), strict=True)
    return Seen(*(statistics.median(column) for column in columns))


def _row(task: Task, client: str, found: dict[str, Seen]) -> dict[str, object]:
    seen, ours = found[client], found["lightmeter load"]
    return {
        "task": task.name,
        "client": client,
        "requests/s": seen.rate,
        "p50 ms": seen.p50 * 1e3,
        "p95 ms": seen.p95 * 1e3,
        "CPU of the client, ms a request": seen.cpu / task.requests * 1e3,
        "lightmeter's p50 x": ours.p50 / seen.p50,
    }


def _missed(task: Task, found: dict[str, Seen]) -> list[str]:
    ours = found["lightmeter load"]
    missed = []
    for client, seen in found.items():
        if ours.rate < LEAST_RATE * seen.rate:
            missed.append(f"{task.name}: {ours.rate / seen.rate:.2f} of the rate of {client}")
        apart = abs(ours.p50 / seen.p50 - 1)
        if task is TASKS[0] and apart > MOST_APART:
            missed.append(f"{task.name}: median {apart:.0%} from that of {client}")
    return missed


def _spent() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _ours(task: Task, url: str, _folder: Path) -> Seen:
    _, out = common.run(
        sys.executable, "-P", "-m", "lightmeter.cli", "load", "--url", url, "--json",
        "--concurrency", str(task.clients), "--requests", str(task.requests),
        "--warmup", str(task.warmup), "--shape", f"64x64:{task.steps}",
    )  # fmt: skip
    result = json.loads(out)
    latency = result["latency_seconds"]["measured"]
    cpu = result["client"]["cpu_ratio"] * result["seconds"]
    return Seen(result["throughput"]["requests_per_second"], latency["p50"], latency["p95"], cpu)


def _bare(task: Task, url: str, _folder: Path) -> Seen:
    return asyncio.run(_bare_loop(task, url))


async def _bare_loop(task: Task, url: str) -> Seen:
    body = {"prompt": "a red fox in snow", "size": "64x64", "num_inference_steps": task.steps}
    seconds: list[float] = []
    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:

        async def ask(number: int) -> None:
            for _ in range(number // task.clients):
                begin = time.perf_counter()
                answer = await client.post("/v1/images/generations", json=body)
                answer.json()
                answer.raise_for_status()
                seconds.append(time.perf_counter() - begin)

        await asyncio.gather(*(ask(task.warmup) for _ in range(task.clients)))
        seconds.clear()
        begin, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(ask(task.requests) for _ in range(task.clients)))
    rate = len(seconds) / (time.perf_counter() - begin)
    p50, p95 = np.quantile(seconds, [0.5, 0.95])
    return Seen(rate, float(p50), float(p95), time.process_time() - cpu)


def _aiperf(task: Task, url: str, folder: Path) -> Seen:
    """Run AIPerf; its CPU includes its start, since its processes cannot be told apart."""
    tokenizer = folder / "tiny" / "tokenizer"  # it wants one even where nothing is counted
    if not tokenizer.exists():
        code = f"from pathlib import Path; from inference.tinymodel import build_tiny; build_tiny(Path({str(tokenizer.parent)!r}))"
        common.run(sys.executable, "-c", code)
    out, before = folder / "aiperf", _spent()
    common.run(
        str(_aiperf_path()), "profile", "--model", "still", "--url", url,
        "--endpoint-type", "image-generation", "--tokenizer", tokenizer,
        "--synthetic-input-tokens-mean", "12", "--concurrency", str(task.clients),
        "--request-count", str(task.requests), "--warmup-request-count", str(task.warmup),
        "--extra-inputs", "size:64x64", "--extra-inputs", f"num_inference_steps:{task.steps}",
        "--output-artifact-dir", out, "--ui", "none",
    )  # fmt: skip
    result = json.loads((out / "profile_export_aiperf.json").read_text())
    latency = result["request_latency"]
    return Seen(
        result["request_throughput"]["avg"],
        latency["p50"] / 1e3,
        latency["p95"] / 1e3,
        _spent() - before,
    )


if __name__ == "__main__":
    main()
