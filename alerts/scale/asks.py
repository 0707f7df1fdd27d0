"""What comes of asking a target: counted, by what was asked and why it did not answer."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter

from alerts.scale.fleet import Fleet, Target
from lightmeter import catalog
from lightmeter.catalog import TargetAnswer, TargetAsk
from lightmeter.errors import TargetError


class Counted:
    """A target; what it is asked is passed on, and what comes of it is counted."""

    def __init__(self, target: Target, registry: CollectorRegistry) -> None:
        """Begin all counters at zero, so that the first refusal is an increase."""
        self._target, self.name = target, target.name
        metric = catalog.TARGET_ASKS
        self._asks = Counter(metric.name, metric.help, metric.labels, registry=registry)
        for ask, answer in itertools.product(TargetAsk, TargetAnswer):
            self._asks.labels(self.name, ask, answer)

    def fleet(self) -> Fleet:
        """Count the replicas.

        Raises:
            TargetError: the target's.
        """
        with self._counting(TargetAsk.COUNT):
            return self._target.fleet()

    def scale(self, to: int) -> str:
        """Ask for so many replicas.

        Raises:
            TargetError: the target's.
        """
        with self._counting(TargetAsk.ORDER):
            return self._target.scale(to)

    @contextlib.contextmanager
    def _counting(self, ask: TargetAsk) -> Iterator[None]:
        try:
            yield
        except TargetError as error:
            self._asks.labels(self.name, ask, TargetAnswer(error.answer)).inc()
            raise
        self._asks.labels(self.name, ask, TargetAnswer.DONE).inc()
