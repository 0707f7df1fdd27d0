"""A past that Prometheus and localprom both know, made up once."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from lightmeter.localprom.frame import Floats, Ints
from lightmeter.localprom.labels import Labels, pack
from lightmeter.localprom.store import Store
from support.debian import need
from support.promtool import promtool


BEGIN_MS = 1_790_000_000_000
STEP_MS = 15_000
SAMPLES = 480
"""Two hours."""
Past = dict[Labels, tuple[Ints, Floats]]
Found = dict[str, float]


def as_store(past: Past) -> Store:
    """Put a past into a store of ours."""
    store = Store(retention_ms=10**12)
    for labels, (times, values) in past.items():
        store.extend(labels, times, values)
    return store


def made(seed: int = 7) -> Past:
    """Make counters with restarts and gaps, gauges with NaN, and a histogram."""
    rng = np.random.default_rng(seed)
    past: Past = {}
    for number in range(6):
        base = {"job": "ab"[number % 2], "instance": f"host-{number}:80", "zone": "xyz"[number % 3]}
        past[pack({"__name__": "made_total", **base})] = _gaps(rng, _counter(rng))
        past[pack({"__name__": "made_level", **base})] = _gaps(rng, rng.normal(10, 5, SAMPLES))
        counts = np.cumsum(rng.poisson(2, (SAMPLES, 5)), axis=0).cumsum(axis=1)
        for edge, column in zip(("0.1", "0.5", "1.0", "5.0", "+Inf"), counts.T, strict=True):
            past[pack({"__name__": "made_seconds_bucket", "le": edge, **base})] = _all(column)
    odd = np.where(rng.random(SAMPLES) < 0.1, np.nan, rng.integers(0, 4, SAMPLES))
    past[pack({"__name__": "made_odd", "job": "a"})] = _all(odd)
    past[pack({"__name__": "made_flat", "job": "a"})] = _all(np.full(SAMPLES, 0.1))
    for job, version in (("a", "1.0"), ("b", "2.0")):
        past[pack({"__name__": "made_info", "job": job, "version": version})] = _all(np.ones(SAMPLES))  # fmt: skip
    return past


def _times() -> Ints:
    times: Ints = BEGIN_MS + STEP_MS * np.arange(SAMPLES, dtype=np.int64)
    return times


def _all(values: Any) -> tuple[Ints, Floats]:
    return _times(), np.asarray(values, dtype=np.float64)


def _counter(rng: np.random.Generator) -> Floats:
    steps = rng.gamma(2, 3, SAMPLES)
    total: Floats = np.cumsum(steps)
    for restart in rng.integers(50, SAMPLES, 2):
        total[restart:] -= total[restart] - steps[restart]
    return np.maximum(total, 0)


def _gaps(rng: np.random.Generator, values: Floats) -> tuple[Ints, Floats]:
    kept = rng.random(SAMPLES) > 0.05
    begin = int(rng.integers(100, SAMPLES - 60))
    kept[begin : begin + 40] = False
    jitter = rng.integers(-3000, 3000, SAMPLES)
    return (_times() + jitter)[kept], values[kept]


def _written(labels: Labels, times: Ints, values: Floats) -> Iterator[str]:
    named = dict(labels)
    name = named.pop("__name__")
    inner = ",".join(f"{key}={json.dumps(value)}" for key, value in named.items())
    for at, value in zip(times, values, strict=True):
        yield f"{name}{{{inner}}} {value!r} {at // 1000}.{at % 1000:03d}\n".replace("np.float64(", "").replace(")", "")  # fmt: skip


@contextlib.contextmanager
def prometheus(past: Past, folder: Path) -> Iterator[httpx.Client]:
    """Start a Prometheus that has this past."""
    need("prometheus", "prometheus")
    with (folder / "past.om").open("w") as out:
        for labels, (times, values) in past.items():
            out.writelines(_written(labels, times, values))
        out.write("# EOF\n")
    code, said = promtool("tsdb", "create-blocks-from", "openmetrics", folder / "past.om", folder / "tsdb")  # fmt: skip
    assert code == 0, said
    (folder / "prometheus.yml").write_text("global: {}\n")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command = [shutil.which("prometheus") or "", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb", "--storage.tsdb.retention.time=100y", f"--web.listen-address={address}", "--enable-feature=promql-at-modifier,promql-negative-offset"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            with httpx.Client(base_url=f"http://{address}", timeout=60, trust_env=False) as client:
                _wait(client)
                yield client
        finally:
            process.terminate()


def _wait(client: httpx.Client) -> None:
    for _ in range(600):
        with contextlib.suppress(httpx.TransportError):
            if client.get("/-/ready").is_success:
                return
        time.sleep(0.05)
    raise AssertionError("Prometheus does not start")
