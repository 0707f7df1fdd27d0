"""How long after an outage begins somebody is paged: ten kinds, in the load of a production trace.

The busiest eight hours of the trace (see `bench/pages.py`) are the load of eleven services, each
with a GPU, a host and an exporter of its own; five hours in, one thing breaks at each but the last.
A real Prometheus evaluates the recommended pages about causes every 15 seconds. Error budgets are
left out: they page too, later.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from alerts import packs
from alerts.objectives import Slo
from alerts.promql import series as select
from alerts.rule import Alert, Severity
from bench import common
from bench.pages import requests
from bench.series import Floats, Past, begins, held, prometheus
from lightmeter import catalog
from lightmeter.catalog import Anomaly, Dcgm, GpuState, LoadPhase, Outcome, WorkerState
from lightmeter.units import parse_duration


STEP = 15.0
HOURS, BREAKS = 8, 5
FORWARDS = 30
HEALTHY = "healthy"


@dataclass
class World:
    """One service with its GPU and host: what each series reads at ``times``."""

    name: str
    times: Floats
    arrived: Floats
    ended: Floats
    series: dict[str, Floats] = field(default_factory=dict)

    @property
    def after(self) -> npt.NDArray[np.bool_]:
        """When it is broken."""
        broken: npt.NDArray[np.bool_] = self.times >= self.times[0] + BREAKS * 3600
        return broken

    def put(self, metric: catalog.Metric | str, values: Floats | float, **labels: str) -> None:
        """Set what a series of the service reads."""
        key = select(metric, service=self.name, model="images", **labels)
        self.series[key] = np.broadcast_to(values, self.times.shape).astype(float).copy()

    def put_node(self, metric: catalog.Metric | str, values: Floats | float, **labels: str) -> None:
        """Set what a series of its host reads."""
        key = select(metric, instance=self.name, **labels)
        self.series[key] = np.broadcast_to(values, self.times.shape).astype(float).copy()

    def count(self, at: Floats) -> Floats:
        """Count what has happened by each time."""
        return np.searchsorted(np.sort(at), self.times, side="right").astype(float)

    def stop(self, values: Floats) -> Floats:
        """Let a counter stand still once it is broken."""
        broken = int(np.argmax(self.after))
        return np.where(self.after, values[broken], values)

    def since(self, values: Floats) -> Floats:
        """Count from when it is broken."""
        return np.where(self.after, values - values[int(np.argmax(self.after))], 0.0)


def healthy(world: World) -> None:
    """Make everything read as it should."""
    arrived, ended = world.count(world.arrived), world.count(world.ended)
    for outcome in Outcome:
        world.put(catalog.REQUESTS, ended if outcome is Outcome.OK else 0, outcome=outcome)
    world.put(catalog.OFFERED_WORK, arrived * FORWARDS)
    world.put(catalog.DENOISE_FORWARDS, _steps(world))
    world.put(catalog.IN_FLIGHT, arrived - ended)
    world.put(catalog.IMAGES, ended, resolution="512x512")
    world.put(catalog.QUEUE_DEPTH, 0, priority="interactive")
    for state in WorkerState:
        world.put(catalog.WORKERS, 1.0 if state is WorkerState.READY else 0.0, state=state)
    world.put(catalog.MODEL_LOAD, 1, phase=LoadPhase.WEIGHTS)
    world.series[select(catalog.MODEL_LOAD, "_count", service=world.name, phase=LoadPhase.WEIGHTS)] = np.ones_like(world.times)  # fmt: skip
    world.put(catalog.OOM, 0, resolution="512x512")
    for kind in Anomaly:
        world.put(catalog.ANOMALIES, 0, kind=kind)
    gpu = {"gpu": "0", "UUID": f"GPU-{world.name}"}
    world.put_node(catalog.GPU_UP, 1, reason=GpuState.OK, **gpu)
    world.put_node(Dcgm.GPU_TEMP.value, 50, **gpu)
    world.put_node(catalog.SAMPLE_AGE, 0.1, **gpu)
    world.put_node(catalog.UP, 1)
    world.put_node(catalog.SCRAPES, np.arange(len(world.times), dtype=float))
    world.put_node(catalog.NODE_FILESYSTEM_SIZE, 1e12, fstype="ext4", mountpoint="/")
    world.put_node(catalog.NODE_FILESYSTEM_AVAIL, 4e11, fstype="ext4", mountpoint="/")
    world.put_node(catalog.NODE_TIME, world.times)


def _steps(world: World) -> Floats:
    """Spread each request's denoise steps over its time."""
    spread = np.linspace(0, 1, FORWARDS)
    at = world.arrived[:, None] + (world.ended - world.arrived)[:, None] * spread
    return world.count(at.ravel())


def worker_dead(world: World) -> None:
    """The only worker is gone and does not come back."""
    ended = world.count(world.ended)
    world.put(catalog.WORKERS, np.where(world.after, 0.0, 1.0), state=WorkerState.READY)
    world.put(catalog.REQUESTS, world.stop(ended), outcome=Outcome.OK)
    world.put(catalog.REQUESTS, world.since(world.count(world.arrived)), outcome=Outcome.SHED)
    world.put(catalog.DENOISE_FORWARDS, world.stop(_steps(world)))


def model_wedged(world: World) -> None:
    """The worker is busy for ever, and makes no step."""
    waiting = np.maximum(1.0, world.since(world.count(world.arrived)))
    world.put(catalog.IN_FLIGHT, np.where(world.after, np.minimum(waiting, 8), world.series[select(catalog.IN_FLIGHT, service=world.name, model="images")]))  # fmt: skip
    world.put(catalog.DENOISE_FORWARDS, world.stop(_steps(world)))
    world.put(catalog.REQUESTS, world.stop(world.count(world.ended)), outcome=Outcome.OK)


def oom_loop(world: World) -> None:
    """Every request runs out of memory."""
    world.put(catalog.OOM, world.since(world.count(world.arrived)), resolution="512x512")
    world.put(catalog.REQUESTS, world.since(world.count(world.arrived)), outcome=Outcome.OOM)
    world.put(catalog.REQUESTS, world.stop(world.count(world.ended)), outcome=Outcome.OK)


def black_images(world: World) -> None:
    """Every picture is black."""
    world.put(catalog.ANOMALIES, world.since(world.count(world.ended)), kind=Anomaly.BLACK)


def gpu_lost(world: World) -> None:
    """The GPU falls off the bus."""
    gpu = {"gpu": "0", "UUID": f"GPU-{world.name}"}
    world.put_node(catalog.GPU_UP, np.where(world.after, np.nan, 1.0), reason=GpuState.OK, **gpu)
    world.put_node(catalog.GPU_UP, np.where(world.after, 0.0, np.nan), reason=GpuState.LOST, **gpu)
    world.put_node(Dcgm.GPU_TEMP.value, np.where(world.after, np.nan, 50.0), **gpu)


def queue_stuck(world: World) -> None:
    """Requests are queued, and nobody takes them."""
    waiting = world.since(world.count(world.arrived))
    model_wedged(world)
    world.put(catalog.QUEUE_DEPTH, waiting, priority="interactive")


def cold_start_storm(world: World) -> None:
    """A worker starts, dies and starts again, every minute."""
    minutes = np.floor((world.times - world.times[0]) / 60)
    key = select(catalog.MODEL_LOAD, "_count", service=world.name, phase=LoadPhase.WEIGHTS)
    world.series[key] = 1 + world.since(minutes)


def exporter_dead(world: World) -> None:
    """Nothing comes from the node any more."""
    for key in [key for key in world.series if f'instance="{world.name}"' in key]:
        world.series[key] = np.where(world.after, np.nan, world.series[key])
    world.put_node(catalog.UP, np.where(world.after, 0.0, 1.0))


def disk_full(world: World) -> None:
    """Something fills the disk within an hour."""
    left = 4e11 * np.clip(1 - world.since(world.times) / 3600, 0, 1)
    world.put_node(catalog.NODE_FILESYSTEM_AVAIL, left, fstype="ext4", mountpoint="/")


def clock_jump(world: World) -> None:
    """The host's clock jumps ahead by two minutes."""
    world.put_node(catalog.NODE_TIME, world.times + np.where(world.after, 120.0, 0.0))


OUTAGES: dict[str, tuple[Callable[[World], None], float]] = {
    "worker dead": (worker_dead, 6),
    "model wedged": (model_wedged, 6),
    "out-of-memory loop": (oom_loop, 5),
    "black images": (black_images, 6),
    "GPU lost": (gpu_lost, 3),
    "queue stuck": (queue_stuck, 6),
    "cold-start storm": (cold_start_storm, 8),
    "exporter dead": (exporter_dead, 5),
    "disk full": (disk_full, 55),
    "clock jump": (clock_jump, 4),
}
"""What breaks, and after how many minutes somebody is paged at the latest; of the disk, which fills
within 60, before it is full."""


def main() -> None:
    """Print when each outage is paged; end with 1 where one is late or a healthy service pages."""
    args = common.arguments(__doc__)
    times, arrived, ended, about = _load()
    worlds = [World(name, times, arrived, ended) for name in [*OUTAGES, HEALTHY]]
    for world in worlds:
        healthy(world)
        if world.name in OUTAGES:
            OUTAGES[world.name][0](world)
    with prometheus(times, {key: one for world in worlds for key, one in world.series.items()}, STEP) as past:  # fmt: skip
        paged = _pages(past)
    rows, failures = [], []
    broken = times[0] + BREAKS * 3600
    for name, (_, promised) in OUTAGES.items():
        found = sorted((at, alert) for at, alert, where in paged if name in where)
        early = [alert for at, alert in found if at < broken]
        first = next(((at, alert) for at, alert in found if at >= broken), None)
        minutes = (first[0] - broken) / 60 if first else None
        rows.append({"outage": name, "paged by": first[1] if first else "nobody", "after, min": minutes, "promised, min": promised})  # fmt: skip
        if early or minutes is None or minutes > promised:
            failures.append(f"{name}: paged after {minutes} min, before it {early}")
    failures += [f"{alert} pages for a healthy service" for _, alert, where in paged if HEALTHY in where]  # fmt: skip
    common.finish(args, common.machine() | about, rows, failures)


def _load() -> tuple[Floats, Floats, Floats, dict[str, Any]]:
    """Find the trace's busiest hours: times, and when their requests arrive and end."""
    frame, about = requests()
    ended = frame["ended"].to_numpy()
    arrived = ended - frame["total_seconds"].to_numpy()
    span = HOURS * 3600
    counts = np.searchsorted(ended, ended + span) - np.arange(len(ended))
    begin = np.floor(ended[int(np.argmax(counts))] / STEP) * STEP
    kept = (ended >= begin) & (ended < begin + span)
    return np.arange(begin, begin + span, STEP), arrived[kept], ended[kept], about


def _pages(past: Past) -> list[tuple[float, str, str]]:
    """List the pages about causes: when, which alert, for what."""
    found = []
    for alert in _causes():
        steps = int(parse_duration(alert.hold) / STEP)
        for labels, mask in past.where(alert.expr).items():
            where = " ".join(json.loads(labels).values())
            found += [
                (float(past.times[at]), alert.name, where) for at in begins(held(mask, steps))
            ]
    return found


def _causes() -> list[Alert]:
    pages = packs.make("recommended", Slo()).alerts
    return [alert for alert in pages if alert.severity is Severity.PAGE and catalog.SLO_LABEL not in alert.labels]  # fmt: skip


if __name__ == "__main__":
    main()
