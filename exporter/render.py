"""The GPUs' samples: DCGM's names for what DCGM has, ours for the rest.

Exactly one series for each GPU under a DCGM name. Labels as dcgm-exporter has them; a MIG instance
has its parent's and two of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from exporter.exposition import Sheet, labels
from exporter.snapshot import Fleet, Gpu, Health, Snapshot
from lightmeter import catalog
from lightmeter.catalog import Kind, Metric


_DCGM = {metric.name: metric for metric in catalog.DCGM}


@dataclass(frozen=True)
class Naming:
    """What labels say beside the readings.

    ``host`` is this machine's name, ``host_labels`` the labels that carry it.
    """

    host: str
    host_labels: tuple[str, ...] = catalog.HOSTNAME_LABELS["Hostname"]


@lru_cache(maxsize=1024)
def health_labels(index: int | None, uuid: str | None) -> str:
    """Join the labels that the state of a GPU begins with; both are empty where there is none."""
    return labels(("gpu", "" if index is None else str(index)), ("UUID", uuid or ""))


@lru_cache(maxsize=1024)
def own_labels(gpu: Gpu) -> str:
    """Join the labels that every metric of ours about a GPU begins with."""
    device = health_labels(gpu.index, gpu.mig_uuid or gpu.uuid)
    return ",".join(filter(None, (device, labels(*_mig(gpu)))))


def _mig(gpu: Gpu) -> Iterator[tuple[str, str]]:
    if gpu.profile:
        instance = "" if gpu.instance is None else str(gpu.instance)
        yield from zip(catalog.DCGM_MIG_LABELS, (gpu.profile, instance), strict=True)


@lru_cache(maxsize=1024)
def dcgm_labels(gpu: Gpu, naming: Naming) -> str:
    """Join the labels of a GPU under a DCGM name."""
    return labels(
        ("gpu", str(gpu.index)),
        ("UUID", gpu.uuid),
        ("pci_bus_id", gpu.pci_bus_id),
        ("device", f"nvidia{gpu.index}"),
        ("modelName", gpu.name),
        *_mig(gpu),
        *((name, naming.host) for name in naming.host_labels),
        (catalog.DCGM_DRIVER, gpu.driver),
    )


@lru_cache(maxsize=4096)
def _with(joined: str, name: str, value: str) -> str:
    return f"{joined},{labels((name, value))}"


@lru_cache(maxsize=256)
def _passed_on(name: str) -> Metric:
    return Metric(name, Kind.UNTYPED, "", "Passed on as read.", "exporter")


def write(sheet: Sheet, fleet: Fleet, naming: Naming) -> None:
    """Write everything about the GPUs themselves; who uses them is attribution's matter."""
    for health in fleet.health:
        _write_health(sheet, health)
    sheet.add(catalog.SOURCE_INFO, labels(("source", fleet.source)), 1)
    sheet.add(catalog.GPUS_EXPECTED, "", fleet.expected)
    sheet.add(catalog.GPUS_SEEN, "", sum(health.up for health in fleet.health))
    for snapshot in fleet.snapshots:
        joined = dcgm_labels(snapshot.gpu, naming)
        for name, value in snapshot.gauges.items():
            sheet.add(_DCGM.get(name) or _passed_on(name), joined, value)
        _write_ours(sheet, snapshot, window=f"{fleet.peak_window_seconds:g}s")


def _write_health(sheet: Sheet, health: Health) -> None:
    joined = health_labels(health.index, health.uuid)
    sheet.add(catalog.GPU_UP, _with(joined, "reason", health.reason), int(health.up))
    sheet.add(catalog.SAMPLE_AGE, joined, health.age_seconds)


def _write_ours(sheet: Sheet, snapshot: Snapshot, *, window: str) -> None:
    joined = own_labels(snapshot.gpu)
    sheet.add(catalog.GPU_BUSY, joined, snapshot.busy_seconds)
    sheet.add(catalog.GPU_SAMPLED, joined, snapshot.sampled_seconds)
    sheet.add(catalog.GPU_SM_ACTIVE, joined, snapshot.sm_active_seconds)
    sheet.add(catalog.GPU_ENERGY, joined, snapshot.energy_joules)
    peak = _with(joined, "window", window)
    sheet.add(catalog.GPU_MEMORY_PEAK, peak, snapshot.memory_peak_bytes)
    for reason, seconds in snapshot.throttle_seconds.items():
        sheet.add(catalog.GPU_THROTTLE, _with(joined, "reason", reason), seconds)
    for xid in snapshot.xids:
        numbered = _with(joined, "xid", str(xid.number))
        sheet.add(catalog.GPU_XID, numbered, xid.count)
        sheet.add(catalog.GPU_XID_LAST, numbered, xid.last_at)
