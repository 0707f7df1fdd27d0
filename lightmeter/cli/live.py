"""Live figures of a server, read from its /metrics like any scraper would."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from lightmeter import catalog
from lightmeter.catalog import GpuTime, Outcome, WorkerState
from lightmeter.units import show_duration, show_ratio


@dataclass(frozen=True)
class Scrape:
    """One scrape: values by metric and label set, taken at ``at`` (monotonic seconds)."""

    at: float
    values: dict[tuple[str, frozenset[tuple[str, str]]], float]

    def total(self, name: str, **labels: str) -> float:
        """Sum the samples of a series name whose labels match."""
        wanted = set(labels.items())
        return sum(
            value
            for (found, have), value in self.values.items()
            if found == name and wanted <= have
        )

    def buckets(self, name: str) -> list[tuple[float, float]]:
        """Cumulative counts of a histogram by upper bound, over all its label sets."""
        bounds: dict[float, float] = {}
        for (found, labels), value in self.values.items():
            if found == f"{name}_bucket":
                bound = float(dict(labels)["le"])
                bounds[bound] = bounds.get(bound, 0.0) + value
        return sorted(bounds.items())


def parse(text: str, at: float) -> Scrape:
    """Parse an exposition."""
    from prometheus_client.parser import text_string_to_metric_families

    samples = (
        sample for family in text_string_to_metric_families(text) for sample in family.samples
    )
    return Scrape(
        at, {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}
    )


def quantile(buckets: list[tuple[float, float]], q: float) -> float:
    """Estimate a quantile from cumulative buckets, linear within one, as Prometheus does."""
    total = buckets[-1][1] if buckets else 0.0
    if not total:
        return math.nan
    rank, low, below = q * total, 0.0, 0.0
    for bound, count in buckets:
        if count >= rank:
            if math.isinf(bound):
                return low
            return (
                low + (bound - low) * (rank - below) / (count - below) if count > below else bound
            )
        low, below = bound, count
    return low


def figures(first: Scrape, last: Scrape, now: Scrape) -> list[tuple[str, str]]:
    """Say what happened since the first scrape and, for rates, since the last one."""

    def since(name: str, **labels: str) -> float:
        return now.total(name, **labels) - first.total(name, **labels)

    ok = since(catalog.REQUESTS.name, outcome=Outcome.OK)
    others = since(catalog.REQUESTS.name) - ok
    elapsed = max(now.at - last.at, 1e-9)
    busy = (
        now.total(catalog.GPU_SECONDS.name, kind=GpuTime.USEFUL)
        - last.total(catalog.GPU_SECONDS.name, kind=GpuTime.USEFUL)
    ) / elapsed
    buckets = now.buckets(catalog.REQUEST_DURATION.name)
    return [
        ("requests answered", f"{ok:.0f} ok, {others:.0f} otherwise"),
        ("pictures", f"{since(catalog.IMAGES.name):.0f}"),
        ("latency p50, p95", f"{_time(quantile(buckets, 0.5))}, {_time(quantile(buckets, 0.95))}"),
        (
            "waiting, in flight",
            f"{now.total(catalog.QUEUE_DEPTH.name):.0f}, {now.total(catalog.IN_FLIGHT.name):.0f}",
        ),
        ("workers ready or busy", f"{_able(now):.0f}"),
        ("device busy", f"{show_ratio(min(busy, max(_able(now), 1)))}"),
    ]


def _able(scrape: Scrape) -> float:
    return sum(
        scrape.total(catalog.WORKERS.name, state=state)
        for state in (WorkerState.READY, WorkerState.BUSY)
    )


def _time(seconds: float) -> str:
    return "-" if math.isnan(seconds) else show_duration(seconds)


def line(rows: Iterable[tuple[str, str]]) -> str:
    """Put the figures on one line, for where there is no terminal."""
    return " · ".join(f"{name}: {value}" for name, value in rows)
