"""The server full of requests, beside the usual lock-and-generate server and a bare diffusers loop."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import httpx

from bench import common
from bench.gpu.place import PROMPT, Line, Place, missed


LEAST_BARE, LEAST_USUAL = 0.97, 1.3
CLIENTS, BATCH = 16, 8
_START_SECONDS = 180.0


OURS, USUAL = "lightmeter", "lock server"
SIDE, LARGE = 512, 1024
MOST_SECONDS = 1.0
SECONDS = {OURS: 10.0, USUAL: 8.0}
BATCHES = 5
"""Of the bare loop."""


def server(place: Place) -> Iterator[Line]:
    """Fill the servers one after the other, then make pictures without one."""
    place.need_memory(26)
    found = {}
    for name, start in SERVERS.items():
        with start(place) as url:
            found[name] = _fill(place, url, SECONDS[name] if place.cuda else 1.0)
            yield {"server": name, **found[name]}
            if name == OURS:
                yield from _one_client(place, url)
    bare = _bare(place)
    yield {"server": f"bare loop, batches of {BATCH}", "pictures/s": bare}
    ours, usual = found[OURS], found[USUAL]
    share, times = ours["pictures/s"] / bare, ours["pictures/s"] / usual["pictures/s"]
    yield {"server": f"{OURS}, of the bare loop", "ratio": share}
    yield {"server": f"{OURS}, of the {USUAL}", "ratio": times}
    if not place.cuda:
        return
    if share < LEAST_BARE:
        yield missed(f"{share:.3f} of the bare loop, {LEAST_BARE} is asked for")
    if times < LEAST_USUAL:
        yield missed(f"{times:.2f} times the lock server, {LEAST_USUAL} is asked for")
    if ours["p95 s"] > usual["p95 s"]:
        yield missed(f"p95 {ours['p95 s']:.2f} s, the lock server's {usual['p95 s']:.2f} s")


def _one_client(place: Place, url: str) -> Iterator[Line]:
    """Ask for large pictures, one after the other: from the request to the whole PNG."""
    alone = _fill(place, url, 6.0 if place.cuda else 1.0, side=LARGE, clients=1)
    yield {"server": f"{OURS}, {place.side(LARGE)}x{place.side(LARGE)}, one client", **alone}
    if place.cuda and alone["p50 s"] > MOST_SECONDS:
        yield missed(
            f"{LARGE}x{LARGE} takes {alone['p50 s']:.2f} s from end to end, {MOST_SECONDS:g} s is asked for"
        )


def _fill(
    place: Place, url: str, seconds: float, *, side: int = SIDE, clients: int = CLIENTS
) -> Mapping[str, float]:
    """Keep a server full with our own load client."""
    side = place.side(side)
    _, out = common.run(
        sys.executable, "-P", "-m", "lightmeter.cli", "load", "--url", url, "--json",
        "--concurrency", str(clients), "--duration", f"{seconds}s", "--warmup", str(max(2, clients // 2)),
        "--shape", f"{side}x{side}:{place.forwards}", "--picture-seeds",
    )  # fmt: skip
    result = json.loads(out)
    latency = result["latency_seconds"]["measured"]
    return {
        "pictures/s": result["throughput"]["pictures_per_second"],
        "p50 s": latency["p50"],
        "p95 s": latency["p95"],
        "requests that failed": sum(each["count"] for each in result["errors"]),
    }


@contextmanager
def _ours(place: Place) -> Iterator[str]:
    side = place.side(SIDE)
    command = [
        "-m", "lightmeter.cli", "serve", "--model", place.model, "--device", place.device,
        "--data", str(place.work / "data"), "--port", "0", "--metrics-port", "0",
        "--batch", str(BATCH), "--warmup-shapes", f"{side}x{side}",
    ]  # fmt: skip
    with _started(place, command) as process:
        url = ""
        for line in process.stdout or ():
            if line.startswith("API"):
                url = line.split()[-1]
            if line.startswith("ready"):
                break
        else:
            raise RuntimeError(f"the server ended with {process.wait()}")
        yield url


@contextmanager
def _usual(place: Place) -> Iterator[str]:
    with _started(
        place, ["-m", "bench.lock_server", place.model, "0", "1", place.device]
    ) as process:
        line = (process.stdout.readline() if process.stdout else "").strip()
        url = f"http://127.0.0.1:{line}"
        until = time.monotonic() + _START_SECONDS
        while not _answers(url):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError("the lock server does not start")
            time.sleep(0.1)
        yield url


def _answers(url: str) -> bool:
    try:
        httpx.get(url, trust_env=False)
    except httpx.TransportError:
        return False
    return True


@contextmanager
def _started(place: Place, command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """Run a program of ours until the end of the context; its log goes to that of the row."""
    place.work.mkdir(parents=True, exist_ok=True)
    with subprocess.Popen(
        [sys.executable, "-P", *command], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def _bare(place: Place) -> float:
    """Call a fresh pipeline as diffusers documents it; pictures a second, on the host."""
    import torch

    pipe, side = place.fresh(), place.side(SIDE)

    def batch() -> Any:
        return pipe(
            prompt=[PROMPT] * BATCH,
            width=side,
            height=side,
            num_inference_steps=place.forwards,
            guidance_scale=0.0,
            generator=[torch.Generator("cpu").manual_seed(seed) for seed in range(BATCH)],
            output_type="np",
        )

    batch()
    rounds = place.rounds(BATCHES)
    return BATCH * rounds / place.seconds(lambda: [batch() for _ in range(rounds)])


SERVERS: dict[str, Callable[[Place], AbstractContextManager[str]]] = {OURS: _ours, USUAL: _usual}
