"""Our histograms against the library's own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import prometheus_client
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics import exposition

from inference.histogram import Histogram, Series
from lightmeter import catalog


METRIC = catalog.STAGE_DURATION
LABELS = ("shop", "still", "denoise")
AMOUNTS = (0.0, -1.0, 0.001, 0.0010001, 0.3, 5, 1e9, float("inf"))


def _openmetrics(registry: CollectorRegistry) -> str:
    return str(exposition.generate_latest(registry), "utf-8")  # type: ignore[no-untyped-call]  # upstream's


def _observe(series: Series, times: int) -> None:
    for _ in range(times):
        series.observe(1.0)


def test_a_scrape_shows_what_the_library_would_show() -> None:
    """Dashboards see the same buckets, counts and sums, on and between the bounds, in both formats."""
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # upstream's
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    mine = Histogram(METRIC, ours).labels(*LABELS)
    other = prometheus_client.Histogram(
        METRIC.name, METRIC.help, METRIC.labels, buckets=METRIC.buckets, registry=theirs
    ).labels(*LABELS)
    for write in (prometheus_client.generate_latest, exposition.generate_latest):
        for amount in AMOUNTS:
            mine.observe(amount)
            other.observe(amount)
        assert write(theirs) == write(ours)


def test_several_at_once_are_as_one_by_one() -> None:
    """The steps of a picture are counted together, and none is missing."""
    registry = CollectorRegistry()
    histogram = Histogram(METRIC, registry)
    one, all_ = histogram.labels("shop", "still", "queue"), histogram.labels(*LABELS)
    for amount in AMOUNTS:
        one.observe(amount)
    all_.observe_all(AMOUNTS)
    text = prometheus_client.generate_latest(registry).decode()
    lines = [line for line in text.splitlines() if '"queue"' in line]
    assert lines
    assert {line.replace("queue", "denoise") for line in lines} <= set(text.splitlines())


def test_the_bucket_remembers_the_exemplar() -> None:
    """From a slow bucket one gets to a trace, from the others to none that is not theirs."""
    registry = CollectorRegistry()
    series = Histogram(METRIC, registry).labels(*LABELS)
    series.observe(0.0005)
    series.observe(0.3, {"trace_id": "0af7"})
    found = [line for line in _openmetrics(registry).splitlines() if "# {" in line]
    assert 1 == len(found)
    assert '# {trace_id="0af7"} 0.3 ' in found[0]


def test_threads_lose_nothing() -> None:
    """Pictures are judged in threads; each is counted."""
    registry = CollectorRegistry()
    series = Histogram(METRIC, registry).labels(*LABELS)
    with ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            pool.submit(_observe, series, 2000)
    name, labels = f"{METRIC.name}_count", dict(zip(METRIC.labels, LABELS, strict=True))
    assert 8000 == registry.get_sample_value(name, labels)


def test_a_name_is_there_once() -> None:
    """Two histograms of one name would make a page that Prometheus refuses."""
    registry = CollectorRegistry()
    Histogram(METRIC, registry)
    with pytest.raises(ValueError, match=METRIC.name):
        Histogram(METRIC, registry)


def test_labels_are_all_given() -> None:
    """A label that was forgotten is found at the start, not on the page."""
    histogram = Histogram(METRIC, CollectorRegistry())
    with pytest.raises(ValueError, match="no values"):
        histogram.labels("shop")
    assert histogram.labels(*LABELS) is histogram.labels(*LABELS)
