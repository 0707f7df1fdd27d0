"""What the gateway measures: the server's names for its own service, so that a scaler reads them alike."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import cast

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics

from inference.histogram import Series
from inference.instruments import build
from lightmeter import catalog
from lightmeter.catalog import (
    ANY_MODEL,
    Metric,
    Outcome,
    Priority,
    ReplicaState,
    Resent,
    ShedReason,
    Stage,
    WakeResult,
)


class Meters:
    """Instruments that are all there from the first scrape on, zeros included."""

    def __init__(self, registry: CollectorRegistry, service: str) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # upstream's
        self._registry, self._service = registry, service
        served = partial(self._children, service, ANY_MODEL)
        self._requests = cast("dict[str, Counter]", served(catalog.REQUESTS, Outcome))
        self._shed = cast("dict[str, Counter]", served(catalog.SHED, ShedReason))
        self._duration = cast("dict[str, Series]", served(catalog.REQUEST_DURATION, Priority))
        self._depth = cast("dict[str, Gauge]", served(catalog.QUEUE_DEPTH, Priority))
        self._queue = cast("Series", served(catalog.STAGE_DURATION, (Stage.QUEUE,))[Stage.QUEUE])
        self._offered = cast("Counter", served(catalog.OFFERED_WORK)[""])
        self.in_flight = cast("Gauge", served(catalog.IN_FLIGHT)[""])
        self._users = cast("Gauge", served(catalog.ACTIVE_USERS)[""])
        own = partial(self._children, service)
        self._replicas = cast("dict[str, Gauge]", own(catalog.GATEWAY_REPLICAS, ReplicaState))
        self._resent = cast("dict[str, Counter]", own(catalog.GATEWAY_RESENT, Resent))
        self._wakes = cast("dict[str, Counter]", own(catalog.GATEWAY_WAKES, WakeResult))
        self._woken = cast("Series", own(catalog.GATEWAY_WAKE_WAIT)[""])

    def _children(self, *given: object) -> dict[str, object]:
        """Make a metric's series: one for each word of its last label, or the one it has."""
        *leading, metric, words = (*given, ()) if isinstance(given[-1], Metric) else given
        parent = build(cast("Metric", metric), self._registry)
        names = [str(word) for word in cast("tuple[str, ...]", words)]
        return {
            name: parent.labels(*map(str, leading), *([name] if name else []))
            for name in names or [""]
        }

    def watch(
        self,
        *,
        depth: Callable[[Priority], int],
        users: Callable[[], int],
        replicas: Callable[[ReplicaState], int],
    ) -> None:
        """Read the gauges from their owners at each scrape."""
        self._users.set_function(users)
        for priority in Priority:
            self._depth[priority].set_function(partial(depth, priority))
        for state in ReplicaState:
            self._replicas[state].set_function(partial(replicas, state))

    def offered(self, work: float) -> None:
        """Count the megapixel-forwards of a valid arrival, whatever becomes of it."""
        self._offered.inc(work)

    def shed(self, reason: ShedReason) -> None:
        """Count a request that the gateway turned away."""
        self._shed[reason].inc()

    def queued(self, seconds: float) -> None:
        """Count how long a request waited for its replica."""
        self._queue.observe(seconds)

    def ended(
        self, outcome: Outcome, priority: Priority, seconds: float, trace: dict[str, str] | None
    ) -> None:
        """Count a request that is over; only a served one enters the latency."""
        self._requests[outcome].inc()
        if outcome in (Outcome.OK, Outcome.ANOMALOUS):
            self._duration[priority].observe(seconds, trace)

    def resent(self, reason: Resent) -> None:
        """Count a request that went back into the line."""
        self._resent[reason].inc()

    def waked(self, result: WakeResult) -> None:
        """Count a question to the scaler."""
        self._wakes[result].inc()

    def woken(self, seconds: float) -> None:
        """Count a wait for a first replica that came."""
        self._woken.observe(seconds)
