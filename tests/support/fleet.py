"""Hand-built readings: a machine full of GPUs, without a driver."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from exporter.exposition import OPENMETRICS, TEXT, Form, Sheet, document
from exporter.snapshot import Fleet, Gpu, Health, Process, Snapshot, Xid
from lightmeter.catalog import Dcgm, GpuState, Metric, Throttle


MIB = 2**20
TOTAL = 81_559 * MIB


def gpu(index: int = 0, **fields: Any) -> Gpu:
    """Make a GPU."""
    known: dict[str, Any] = {
        "index": index,
        "uuid": f"GPU-{index:08x}-0000-4000-8000-000000000000",
        "name": "NVIDIA H100 80GB HBM3",
        "pci_bus_id": f"00000000:{index + 16:02X}:00.0",
        "driver": "580.65.06",
    }
    return Gpu(**(known | fields))


def snapshot(index: int = 0, **fields: Any) -> Snapshot:
    """Make full readings of a GPU that is half busy."""
    known: dict[str, Any] = {
        "gpu": gpu(index),
        "at": 1_790_000_000.0,
        "since": 1_789_990_000.0,
        "gauges": {
            Dcgm.GPU_TEMP: 54.0,
            Dcgm.POWER_USAGE: 401.25,
            Dcgm.SM_CLOCK: 1980.0,
            Dcgm.GPU_UTIL: 50.0,
            Dcgm.FB_USED: 40_000.0,
            Dcgm.FB_FREE: 41_559.0,
            Dcgm.TENSOR_ACTIVE: 0.25,
            Dcgm.ENERGY: 4_012_500_000.0,
        },
        "memory_used_bytes": 40_000 * MIB,
        "memory_total_bytes": TOTAL,
        "memory_peak_bytes": 59_392 * MIB,
        "busy_seconds": 5000.0,
        "sampled_seconds": 10_000.0,
        "sm_active_seconds": 4000.0,
        "energy_joules": 4_012_500.0,
        "throttle_seconds": {Throttle.POWER: 12.5, Throttle.THERMAL: 0.0},
        "xids": (Xid(number=31, count=2, last_at=1_789_999_000.0),),
        "processes": tuple(
            Process(pid=1000 * (index + 1) + i, used_bytes=9000 * MIB, busy_seconds=100.0 * i)
            for i in range(4)
        ),
    }
    return Snapshot(**(known | fields))


def health(index: int | None = 0, reason: str = GpuState.OK, **fields: Any) -> Health:
    """Make the state of a GPU."""
    known: dict[str, Any] = {
        "index": index,
        "uuid": None if index is None else gpu(index).uuid,
        "up": reason == GpuState.OK,
        "reason": reason,
        "age_seconds": 0.02,
    }
    return Health(**(known | fields))


def fleet(gpus: int = 8, **fields: Any) -> Fleet:
    """Make a machine whose GPUs all answer."""
    known: dict[str, Any] = {
        "snapshots": tuple(map(snapshot, range(gpus))),
        "health": tuple(map(health, range(gpus))),
        "expected": gpus,
        "source": "nvml",
    }
    return Fleet(**(known | fields))


class Readings:
    """A source of readings that a test sets."""

    def __init__(self, now: Fleet | None = None) -> None:
        self.now = now or fleet()
        self.closed = False

    def fleet(self) -> Fleet:
        """Tell what was set."""
        return self.now

    def close(self) -> None:
        """Remember it."""
        self.closed = True


def parse(text: str, form: Form) -> list[Sample]:
    """Read a page with prometheus_client's parser of its format."""
    read: Callable[[str], Iterable[Any]] = {
        TEXT.content_type: text_string_to_metric_families,
        OPENMETRICS.content_type: openmetrics.text_string_to_metric_families,
    }[form.content_type]
    return [sample for family in read(text) for sample in family.samples]


def samples(sheet: Sheet, form: Form = OPENMETRICS) -> list[Sample]:
    """Read back what a sheet says."""
    return parse(document(form, [sheet]).decode(), form)


def values(found: Iterable[Sample], metric: Metric | str, **labels: str) -> list[float]:
    """List the values of a metric whose labels match."""
    name = metric if isinstance(metric, str) else metric.name
    return [s.value for s in found if s.name == name and labels.items() <= s.labels.items()]
