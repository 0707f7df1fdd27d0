"""The judge: guards and signals of every picture, counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from prometheus_client import CollectorRegistry, Counter

from inference.engine import Pixels
from inference.guards import SIGHTLESS, Duplicates, Finding, examine
from inference.histogram import Histogram, Series
from inference.instruments import build
from lightmeter import catalog
from lightmeter.catalog import SIGNALS, Anomaly
from lightmeter.settings import Guard


class Judge:
    """Looks at pictures and counts what it sees. Thread-safe; about 4 ms for 1024 x 1024 pixels.

    With the guard ``off`` it looks at nothing and exposes nothing about pictures. Otherwise every
    series is there from the start.
    """

    def __init__(
        self, registry: CollectorRegistry, *, service: str, model: str, guard: Guard
    ) -> None:
        self.guard = guard
        self._duplicates = Duplicates()
        if guard == "off":
            return
        anomalies = cast("Counter", build(catalog.ANOMALIES, registry))
        self._anomalies = {kind: anomalies.labels(service, model, kind) for kind in Anomaly}
        signal = cast("Histogram", build(catalog.IMAGE_SIGNAL, registry))
        self._signals = {name: signal.labels(service, model, name) for name in SIGNALS}

    def judge(
        self, pixels: Pixels, nan: Sequence[bool], prompt: str, seeds: Sequence[int]
    ) -> list[Finding]:
        """Look at pictures (n, h, w, 3) uint8 of one prompt, made from ``seeds``, and count them.

        ``nan`` tells of each whether its tensor held a value that is not finite.
        """
        if self.guard == "off":
            return [Finding() for _ in pixels]
        findings = [
            self._compare(examine(picture, nan=bad), prompt, seed)
            for picture, bad, seed in zip(pixels, nan, seeds, strict=True)
        ]
        for finding in findings:
            self._count(finding)
        return findings

    def _compare(self, finding: Finding, prompt: str, seed: int) -> Finding:
        """Compare with earlier pictures, unless there is nothing in this one to compare."""
        if finding.phash is None or not SIGHTLESS.isdisjoint(finding.anomalies):
            return finding
        twin = self._duplicates.seen(prompt, seed, finding.phash)
        return finding.with_duplicate() if twin else finding

    def _count(self, finding: Finding) -> None:
        for kind in finding.anomalies:
            self._anomalies[kind].inc()
        for name, value in finding.signals.items():
            self._signals[name].observe(value)


def scores(registry: CollectorRegistry, *, service: str, model: str, scorer: str) -> Series:
    """Make the histogram of a scorer's results, ready to `observe` each score, 0..1."""
    parent = cast("Histogram", build(catalog.QUALITY_SCORE, registry))
    return parent.labels(service, model, scorer)
