"""The catalogue's server metrics as live instruments on one registry."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import cast

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics

from inference import wire
from inference.engine import Job
from inference.histogram import Histogram, Series
from inference.money import Price
from inference.tickets import Batch, work_of
from lightmeter import catalog
from lightmeter.catalog import (
    Clock,
    GpuTime,
    Kind,
    LoadPhase,
    Metric,
    Outcome,
    Priority,
    ShedReason,
    Stage,
    StopReason,
    WorkerState,
)


Instrument = Counter | Gauge | Histogram


def build(metric: Metric, registry: CollectorRegistry) -> Instrument:
    """Make the instrument that a catalogue entry describes."""
    if metric.kind is Kind.HISTOGRAM:
        return Histogram(metric, registry)
    make = Counter if metric.kind is Kind.COUNTER else Gauge
    return make(metric.name, metric.help, metric.labels, registry=registry)


class Instruments:
    """What the server measures. Every child is made at the start, so that no series appears late."""

    def __init__(
        self, registry: CollectorRegistry, service: str, model: str, price: Price | None = None
    ) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # upstream's
        self._registry = registry
        self._leading = (service, model)
        self._parents: dict[Metric, Instrument] = {}
        self._requests = {outcome: self._counter(catalog.REQUESTS, outcome) for outcome in Outcome}
        self._duration = {
            priority: self._histogram(catalog.REQUEST_DURATION, priority) for priority in Priority
        }
        self._slowdown = {
            priority: self._histogram(catalog.SLOWDOWN, priority) for priority in Priority
        }
        self._stages = {stage: self._histogram(catalog.STAGE_DURATION, stage) for stage in Stage}
        self._steps = {
            clock: self._histogram(catalog.DENOISE_STEP_DURATION, clock) for clock in Clock
        }
        self._forwards = self._counter(catalog.DENOISE_FORWARDS)
        self._images = {name: self._counter(catalog.IMAGES, name) for name in catalog.RESOLUTIONS}
        self._offered = self._counter(catalog.OFFERED_WORK)
        self._done = self._counter(catalog.DONE_WORK)
        self._gpu = {kind: self._counter(catalog.GPU_SECONDS, kind) for kind in GpuTime}
        self._shed = {reason: self._counter(catalog.SHED, reason) for reason in ShedReason}
        self._loads = {phase: self._histogram(catalog.MODEL_LOAD, phase) for phase in LoadPhase}
        self._batches = {
            reason: self._histogram(catalog.BATCH_SIZE, reason) for reason in StopReason
        }
        self._oom = {name: self._counter(catalog.OOM, name) for name in catalog.RESOLUTIONS}
        self._feedback = self._histogram(catalog.FEEDBACK_SCORE)
        self.in_flight = self._gauge(catalog.IN_FLIGHT)
        self._price = price
        self._cost = self._counter(catalog.COST, price.currency) if price else None
        self._peak = functools.cache(functools.partial(self._gauge, catalog.TORCH_MEMORY_PEAK))

    def watch(
        self,
        *,
        depth: Callable[[Priority], int],
        workers: Callable[[WorkerState], int],
        users: Callable[[], int],
        balance: Callable[[], float],
    ) -> None:
        """Read the gauges from their owners at each scrape, so that they are never stale."""
        self._gauge(catalog.ACTIVE_USERS).set_function(users)
        self._gauge(catalog.BALANCE_RATIO).set_function(balance)
        for priority in Priority:
            self._gauge(catalog.QUEUE_DEPTH, priority).set_function(
                functools.partial(depth, priority)
            )
        for state in WorkerState:
            self._gauge(catalog.WORKERS, state).set_function(functools.partial(workers, state))

    def offered(self, job: Job) -> None:
        """Count the work of a valid arrival, whatever becomes of it."""
        self._offered.inc(work_of(job))

    def shed(self, reason: ShedReason) -> None:
        """Count a request turned away."""
        self._shed[reason].inc()

    def ended(self, outcome: Outcome) -> None:
        """Count a request that is decided."""
        self._requests[outcome].inc()

    def sent(
        self,
        priority: Priority,
        seconds: float,
        *,
        alone: float | None,
        respond: float,
        exemplar: dict[str, str] | None = None,
    ) -> None:
        """Time a served request whose answer has left; refused ones never enter the latency.

        ``alone`` is seconds that it was expected to take alone; unknown, it has no slowdown.
        """
        self._stages[Stage.RESPOND].observe(respond)
        self._duration[priority].observe(seconds, exemplar)
        if alone:
            self._slowdown[priority].observe(seconds / alone, exemplar)

    def delivered(self, job: Job, stages: dict[Stage, float]) -> None:
        """Count the pictures of a served request and where its time went."""
        for stage, seconds in stages.items():
            self._stages[stage].observe(seconds)
        self._images[catalog.resolution(job.width, job.height)].inc(job.images)
        self._done.inc(work_of(job))

    def computed(self, header: wire.Header, worker: wire.Header, *, wanted: float) -> None:
        """Count what the device did for a batch; a share ``wanted`` of it is still waited for."""
        self._forwards.inc(header["forwards"])
        self._spend(GpuTime.USEFUL, header["gpu_seconds"] * wanted)
        if wanted < 1:
            self.abandoned(header["gpu_seconds"] * (1 - wanted))
        self._steps[Clock(header["clock"])].observe_all(header["steps"])
        if header["peak_vram_bytes"] is not None:
            self._peak(worker["gpu_uuid"] or "").set(header["peak_vram_bytes"])

    def abandoned(self, gpu_seconds: float) -> None:
        """Count device time spent for clients who had gone."""
        self._spend(GpuTime.ABANDONED, gpu_seconds)

    def drew(self, joules: float) -> None:
        """Count energy of a GPU while it served."""
        self._counter(catalog.ENERGY).inc(joules)

    def loaded(self, phases: dict[LoadPhase, float]) -> None:
        """Count a worker's cold start."""
        for phase, seconds in phases.items():
            self._loads[phase].observe(seconds)
        self._spend(GpuTime.WARMUP, phases.get(LoadPhase.WARMUP, 0.0))

    def _spend(self, kind: GpuTime, gpu_seconds: float) -> None:
        self._gpu[kind].inc(gpu_seconds)
        if self._price and self._cost:
            self._cost.inc(float(self._price.cost(gpu_seconds)))

    def batched(self, batch: Batch) -> None:
        """Count a batch that was handed to a worker."""
        self._batches[batch.stop_reason].observe(len(batch.tickets))

    def rated(self, stars: int) -> None:
        """Count a request's first rating."""
        self._feedback.observe(stars)

    def out_of_memory(self, batch: Batch) -> None:
        """Count a batch that did not fit the device."""
        job = batch.tickets[0].job
        self._oom[catalog.resolution(job.width, job.height)].inc()

    def _counter(self, metric: Metric, *labels: str) -> Counter:
        return cast("Counter", self._child(metric, labels))

    def _gauge(self, metric: Metric, *labels: str) -> Gauge:
        return cast("Gauge", self._child(metric, labels))

    def _histogram(self, metric: Metric, *labels: str) -> Series:
        return cast("Series", self._child(metric, labels))

    def _child(self, metric: Metric, labels: tuple[str, ...]) -> Counter | Gauge | Series:
        if metric not in self._parents:
            self._parents[metric] = build(metric, self._registry)
        return self._parents[metric].labels(*self._leading, *labels)
