"""An hour of everything in the catalogue, made up, in a store that answers as Prometheus does."""

from __future__ import annotations

import itertools
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from starlette.applications import Starlette

from lightmeter import catalog
from lightmeter.catalog import CATALOG, Kind, Metric
from lightmeter.localprom.api import Api
from lightmeter.localprom.exposition import Exemplar
from lightmeter.localprom.keep import Keeper
from lightmeter.localprom.labels import Labels, pack
from lightmeter.localprom.rules import Rules, load
from lightmeter.localprom.scrape import State, Target
from lightmeter.localprom.store import Store


RULES = Path(__file__).parents[2] / "alerts" / "generated" / "prometheus"
STEP_SECONDS = 15
ROUNDS, ROUND_MS = 20, 60_000
"""How often rules are evaluated, up to the end; some are due each five minutes only."""
TRACE = "0af7651916cd43dd8448eb211c80319c"
_OPEN = {
    "service": ("shop", "studio"), "model": ("z-image",), "gpu": ("0", "1"), "UUID": ("GPU-a",), "target": ("shop",),
    "window": ("60s",), "xid": ("79",), "namespace": ("images",), "pod": ("shop-1",), "container": ("server",),
    "scorer": ("clip",), "signal": ("queue", "demand"), "currency": ("EUR",), "mode": ("idle", "user"), "mountpoint": ("/",), "fstype": ("ext4",),
}  # fmt: skip
"""Values of labels that come from configuration or hardware; a label without any has one."""
_SIZES = {"bytes": 2e10, "MiB": 2e4, "celsius": 60.0, "watts": 300.0, "MHz": 1900.0, "percent": 55.0, "boolean": 1.0, "info": 1.0, "ratio": 0.6, "errors": 0.0, "events": 0.001}  # fmt: skip
_RARE = ("error", "oom", "timeout", "shed", "black", "nan", "queue_full")
Floats = npt.NDArray[np.float64]


def filled(*, seconds: int = 3600, now: float | None = None) -> Starlette:
    """Make it, up to now, with rules evaluated over the last minutes and one exemplar for each latency."""
    end = int((time.time() if now is None else now) * 1000)
    times = np.arange(end - seconds * 1000, end + 1, STEP_SECONDS * 1000, dtype=np.int64)
    keeper = Keeper(Store())
    for metric in CATALOG:
        for labels, values in _series(metric, len(times)):
            keeper.store.extend(labels, times, values)
    for job in ("server", "gpu", "scaler"):
        silent = np.where(np.arange(len(times)) % 60 < 3, 0.0, 1.0) if job == "scaler" else np.ones(len(times))  # fmt: skip
        keeper.store.extend(pack({"__name__": catalog.UP, **_target(job)}), times, silent)
    bucket = pack({"__name__": f"{catalog.REQUEST_DURATION.name}_bucket", "service": "shop", "model": "z-image", "priority": "interactive", "le": "+Inf", **_target("server")})  # fmt: skip
    for number in range(12):
        keeper.remember(bucket, Exemplar((("trace_id", TRACE),), 2.0 + number, end - 240_000 * number))  # fmt: skip
    rules = Rules([group for path in sorted(RULES.glob("recommended-*.yaml")) for group in load(path)], keeper.store, keeper.write)  # fmt: skip
    for at in range(end - (ROUNDS - 1) * ROUND_MS, end + 1, ROUND_MS):
        rules.evaluate(at)
    return Api(keeper, rules=rules, targets=[State(Target("http://127.0.0.1:7861/metrics", "server"))]).app()  # fmt: skip


def _target(job: str) -> dict[str, str]:
    return {"job": job, "instance": f"127.0.0.1:{7000 + len(job)}"}


def _series(metric: Metric, count: int) -> Iterator[tuple[Labels, Floats]]:
    job = {"server": "server", "scaler": "scaler"}.get(metric.room, "gpu")
    closed = dict(metric.vocabulary)
    choices = [closed.get(label) or _OPEN.get(label, ("x",)) for label in metric.labels]
    for values in itertools.product(*choices):
        labels = dict(zip(metric.labels, values, strict=True)) | _target(job)
        chance = np.random.default_rng(zlib.crc32(repr((metric.name, values)).encode()))
        if metric.kind is Kind.HISTOGRAM:
            yield from _histogram(metric, labels, count, chance)
        else:
            made = _counter(metric, values, count, chance) if metric.kind is Kind.COUNTER else _gauge(metric, count, chance)  # fmt: skip
            yield pack({"__name__": metric.name, **labels}), made


def _wave(count: int, chance: np.random.Generator) -> Floats:
    at = np.arange(count) / count * 2 * np.pi
    return 1 + 0.4 * np.sin(at * chance.integers(1, 4) + chance.uniform(0, 6)) + chance.normal(0, 0.06, count)  # fmt: skip


def _counter(metric: Metric, values: tuple[str, ...], count: int, chance: np.random.Generator) -> Floats:  # fmt: skip
    rare = 0.004 if set(values) & set(_RARE) else 1.0
    pace = _SIZES.get(metric.unit, 0.4 * chance.uniform(0.5, 1.5))
    return np.cumsum(np.clip(_wave(count, chance), 0, None) * pace * rare * STEP_SECONDS)


def _gauge(metric: Metric, count: int, chance: np.random.Generator) -> Floats:
    size = _SIZES.get(metric.unit, 2.0)
    if metric.unit in ("boolean", "info"):
        return np.ones(count)
    if metric.unit in ("ratio", "bytes", "MiB", "celsius", "watts", "MHz", "percent"):
        return size * np.clip(_wave(count, chance), 0.1, 1.6)
    return np.round(size * np.clip(_wave(count, chance), 0, None))


def _histogram(metric: Metric, labels: dict[str, str], count: int, chance: np.random.Generator) -> Iterator[tuple[Labels, Floats]]:  # fmt: skip
    bounds = np.array([*metric.buckets, np.inf])
    middle = len(bounds) * 0.45 + np.clip(_wave(count, chance) - 1, -0.5, 0.5) * 4
    places = np.arange(len(bounds))[:, None]
    shares = np.exp(-(((places - middle) / 1.6) ** 2))
    grown = np.cumsum(np.cumsum(shares / shares.sum(axis=0) * 12, axis=0), axis=1)
    for bound, row in zip(bounds, grown, strict=True):
        word = "+Inf" if np.isinf(bound) else repr(float(bound))
        yield pack({"__name__": f"{metric.name}_bucket", **labels, "le": word}), row
    mean = float(metric.buckets[int(len(metric.buckets) * 0.4)])
    yield pack({"__name__": f"{metric.name}_count", **labels}), grown[-1]
    yield pack({"__name__": f"{metric.name}_sum", **labels}), grown[-1] * mean
