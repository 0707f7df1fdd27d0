"""Whose GPU memory is used up, by our exporter's series or by dcgm-exporter's. Pure."""

from __future__ import annotations

from alerts.promql import series
from alerts.rule import Alert, Severity, Trial
from alerts.trial_gpu import GPU, ours, theirs
from lightmeter import catalog
from lightmeter.catalog import Dcgm


_MIB = 2**20
_PEAK_WINDOW = "60s"
_UNKNOWN_BYTES = 2**30


def memory() -> Alert:
    """Say that the next larger batch will not fit."""
    used, free, reserved = (series(field.value) for field in (Dcgm.FB_USED, Dcgm.FB_FREE, Dcgm.FB_RESERVED))  # fmt: skip
    size = f"({used} + {free} + ({reserved} or 0 * {used}))"
    peak = series(catalog.GPU_MEMORY_PEAK, window=_PEAK_WINDOW)
    measured = (
        f"max by (gpu, UUID) ({peak})\n/ on (gpu, UUID)\nmax by (gpu, UUID) ({size} * {_MIB})"
    )
    sampled = f"max by (gpu, UUID) ({used} / {size})"
    return Alert(
        name="LightmeterGpuMemoryPeak",
        severity=Severity.TICKET,
        expr=f"(\n{measured}\nor\n{sampled}\n) > 0.95",
        hold="5m",
        summary="GPU {{ $labels.gpu }} ({{ $labels.UUID }}): {{ $value | humanizePercentage }} of its memory was in use at the highest moment of the last minute, for 5 minutes.",
        meaning="The next larger picture or batch will not fit. Between two scrapes memory may have been at its limit already; the peak sees that.",
        first="See whose memory it is by container; lower the batch size of the service at /admin/limits, or give it a larger slice.",
        panel=catalog.GPU_MEMORY,
        labels={"component": "gpu", "symptom": "gpu"},
        trials=(
            Trial(
                bad={ours(catalog.GPU_MEMORY_PEAK, window=_PEAK_WINDOW): f"{50 * _MIB}x5 {98 * _MIB}x15 {50 * _MIB}x20", theirs(Dcgm.FB_USED): "50x60", theirs(Dcgm.FB_FREE): "50x60"},
                calm={ours(catalog.GPU_MEMORY_PEAK, window=_PEAK_WINDOW): f"{94 * _MIB}x40", theirs(Dcgm.FB_USED): "50x60", theirs(Dcgm.FB_FREE): "50x60"},
                fires="15m", over="30m", labels=GPU,
                says="GPU 0 (GPU-1): 98% of its memory was in use at the highest moment of the last minute, for 5 minutes.",
            ),
            Trial(
                bad={theirs(Dcgm.FB_USED): "50x5 96x15 50x20", theirs(Dcgm.FB_FREE): "50x5 4x15 50x20"},
                calm={theirs(Dcgm.FB_USED): "94x40", theirs(Dcgm.FB_FREE): "6x40"},
                fires="15m", over="30m", labels=GPU,
                says="GPU 0 (GPU-1): 96% of its memory was in use at the highest moment of the last minute, for 5 minutes.",
            ),
        ),
    )  # fmt: skip


def grant() -> Alert:
    """Say that a container takes what is its neighbours'."""
    by = "(gpu, UUID, namespace, pod, container)"
    used, granted = (f"max by {by} ({series(metric)})" for metric in (catalog.POD_MEMORY_USED, catalog.POD_MEMORY_GRANTED))  # fmt: skip
    pod = {**GPU, "namespace": "images", "pod": "shop-1", "container": "server"}
    return Alert(
        name="LightmeterPodOverGrant",
        severity=Severity.TICKET,
        expr=f"{used}\n/\n({granted} > 0)\n> 1",
        hold="2m",
        summary="{{ $labels.namespace }}/{{ $labels.pod }} holds {{ $value | humanizePercentage }} of the GPU memory that it was granted on GPU {{ $labels.gpu }}.",
        meaning="Shared GPUs do not isolate memory: what this container takes beyond its grant is missing for its neighbours, who will run out of memory.",
        first="Cap it (the server's `memory` setting) or raise its grant to what it needs; `lightmeter plan` sizes slices from measured peaks.",
        panel=catalog.POD_MEMORY,
        labels={"component": "gpu"},
        trials=(Trial(
            bad={series(catalog.POD_MEMORY_USED, **pod): "3x5 4x10 3x20", series(catalog.POD_MEMORY_GRANTED, **pod): "3.2x40"},
            calm={series(catalog.POD_MEMORY_USED, **pod): "3.2x40", series(catalog.POD_MEMORY_GRANTED, **pod): "3.2x40"},
            fires="10m", over="20m", labels=pod,
            says="images/shop-1 holds 125% of the GPU memory that it was granted on GPU 0.",
        ),),
    )  # fmt: skip


def unknown() -> Alert:
    """Say that nobody known holds memory."""
    known = f"count by (UUID) ({series(catalog.POD_MEMORY_USED)})"
    pod = {**GPU, "namespace": "images", "pod": "shop-1", "container": "server"}
    return Alert(
        name="LightmeterUnattributedMemory",
        severity=Severity.TICKET,
        expr=f"{series(catalog.UNATTRIBUTED_MEMORY)} > {_UNKNOWN_BYTES}\nand on (UUID)\n{known}",
        hold="15m",
        summary="{{ $value | humanize1024 }}B of GPU {{ $labels.gpu }} ({{ $labels.UUID }}) are held by nobody who is known.",
        meaning="A process outside all containers, or one left behind by a container that is gone, holds memory that the services on this GPU count on.",
        first="List the node's processes with `nvidia-smi` and end what belongs to no container.",
        panel=catalog.POD_MEMORY,
        labels={"component": "gpu", "symptom": "gpu"},
        trials=(Trial(
            bad={ours(catalog.UNATTRIBUTED_MEMORY): f"0x5 {2 * _UNKNOWN_BYTES}x25 0x30", series(catalog.POD_MEMORY_USED, **pod): "3x60"},
            calm={ours(catalog.UNATTRIBUTED_MEMORY): f"{2 * _UNKNOWN_BYTES}x60"},
            fires="25m", over="45m", labels=GPU,
            says="2GiB of GPU 0 (GPU-1) are held by nobody who is known.",
        ),),
    )  # fmt: skip
