"""The judge: what it sees of a request's pictures is counted, once."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from inference.engine import Pixels
from inference.instruments import Instruments
from inference.judge import Judge, scores
from lightmeter import catalog
from lightmeter.catalog import SIGNALS, Anomaly, Metric
from lightmeter.settings import Guard
from support.photos import noised, photograph


PLACE = {"service": "drafts", "model": "tiny"}


def make(guard: Guard = "flag") -> tuple[Judge, CollectorRegistry]:
    registry = CollectorRegistry()
    return Judge(registry, guard=guard, **PLACE), registry


def value(registry: CollectorRegistry, metric: Metric, suffix: str = "", **labels: str) -> float:
    """Read a sample; -1 where there is none."""
    found = registry.get_sample_value(metric.name + suffix, PLACE | labels)
    return -1 if found is None else found


def counted(registry: CollectorRegistry) -> dict[Anomaly, float]:
    """Read how many pictures had each fault, of those that any had."""
    found = {kind: value(registry, catalog.ANOMALIES, kind=kind) for kind in Anomaly}
    return {kind: number for kind, number in found.items() if number}


def batch(*pictures: Pixels) -> Pixels:
    return np.stack(pictures)


def black() -> Pixels:
    return np.zeros((256, 256, 3), np.uint8)


def test_counted() -> None:
    """Each picture enters each signal, and each fault is counted under its kind."""
    judge, registry = make()
    good = photograph("coffee.png", 256)
    pixels = batch(good, black(), black(), noised(photograph("chelsea.png", 256)))

    findings = judge.judge(pixels, [False, False, True, False], "a cup", [1, 2, 3, 4])

    assert [(), (Anomaly.BLACK,), (Anomaly.NAN,), (Anomaly.NOISE,)] == [
        finding.anomalies for finding in findings
    ]
    assert {Anomaly.BLACK: 1, Anomaly.NAN: 1, Anomaly.NOISE: 1} == counted(registry)
    for name in SIGNALS:
        assert 4 == value(registry, catalog.IMAGE_SIGNAL, "_count", signal=name)


def test_duplicates() -> None:
    """Two seeds that give one picture are told, within a request and across requests."""
    judge, registry = make()
    cup, cat = photograph("coffee.png", 256), photograph("chelsea.png", 256)

    same = judge.judge(batch(cup, cat, cup), [False] * 3, "a cup", [1, 2, 3])
    later = judge.judge(batch(cat, cup), [False] * 2, "a cup", [7, 1])

    assert [(), (), (Anomaly.DUPLICATE,)] == [finding.anomalies for finding in same]
    assert (Anomaly.DUPLICATE,) == later[0].anomalies
    assert {Anomaly.DUPLICATE: 3} == counted(registry)


def test_repeated() -> None:
    """The same request again is no anomaly."""
    judge, registry = make()
    for _ in range(3):
        judge.judge(batch(photograph("coffee.png", 256)), [False], "a cup", [1])

    assert {} == counted(registry)


def test_black_is_no_duplicate() -> None:
    """Black pictures all look the same; they count as black only."""
    judge, registry = make()
    judge.judge(batch(*[black()] * 5), [False] * 5, "a cup", range(5))

    assert {Anomaly.BLACK: 5} == counted(registry)


def test_from_the_start() -> None:
    """Every series is there before the first picture, within a small budget."""
    _, registry = make()
    series = [sample for family in registry.collect() for sample in family.samples]

    assert dict.fromkeys(Anomaly, 0) == {
        kind: value(registry, catalog.ANOMALIES, kind=kind) for kind in Anomaly
    }
    assert 0 == value(registry, catalog.IMAGE_SIGNAL, "_count", signal="luma")
    assert len(series) < 150


def test_off() -> None:
    """Switched off, it looks at nothing, says nothing and exposes nothing."""
    judge, registry = make("off")
    findings = judge.judge(batch(black(), black()), [True, True], "a cup", [1, 2])

    assert [{"anomalies": [], "signals": {}}] * 2 == [finding.facts() for finding in findings]
    assert [] == list(registry.collect())


def test_beside_the_others() -> None:
    """The server's other instruments fit on the same registry."""
    registry = CollectorRegistry()
    Instruments(registry, "drafts", "tiny")
    Judge(registry, guard="flag", **PLACE)
    scores(registry, scorer="clip", **PLACE)

    assert 0 == value(registry, catalog.QUALITY_SCORE, "_count", scorer="clip")


def test_scores() -> None:
    """A score enters the histogram of its scorer."""
    registry = CollectorRegistry()
    scores(registry, scorer="clip", **PLACE).observe(0.7)

    assert pytest.approx(0.7) == value(registry, catalog.QUALITY_SCORE, "_sum", scorer="clip")


def test_threads() -> None:
    """Requests that are judged at the same time are all counted."""
    judge, registry = make()
    pixels = batch(photograph("coffee.png", 64), black()[:64, :64])
    threads = [
        threading.Thread(target=judge.judge, args=(pixels, [False] * 2, f"prompt {n}", [1, 2]))
        for n in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {Anomaly.BLACK: 16} == counted(registry)
    assert 32 == value(registry, catalog.IMAGE_SIGNAL, "_count", signal="luma")
