"""What goes wrong in GPUs, by our exporter's series or by dcgm-exporter's. Pure.

Each condition takes ours where it is there, and NVIDIA's else; a metric that neither has makes a
condition silent.
"""

from __future__ import annotations

from alerts.promql import series
from alerts.rule import Alert, Group, Severity, Trial
from alerts.xids import APPLICATION, HARDWARE
from lightmeter import catalog
from lightmeter.catalog import Dcgm, GpuState, Throttle


_GPU = {"gpu": "0", "UUID": "GPU-1"}
_HOST = _GPU | {"Hostname": "node1"}
_NODE = {"instance": "node1:9400"}
_MIB = 2**20
_PEAK_WINDOW = "60s"
_STALE_SECONDS = 30
_UNKNOWN_BYTES = 2**30
_HELD_DOWN = (Throttle.THERMAL, Throttle.RELIABILITY, Throttle.BOARD_LIMIT)
"""Not power: a GPU at full load is held at its power limit, and that is as it should be."""


def group() -> Group:
    """Make the rules on GPUs."""
    return Group("lightmeter-gpu", "gpu", (
        _down(), _gone(), _stale(), _xid(page=True), _xid(page=False), _memory(), _grant(), _unknown(),
        _throttled(), _ecc(), _remap(),
    ))  # fmt: skip


def ours(metric: catalog.Metric, **labels: str) -> str:
    """Name a series of our exporter for GPU 0."""
    return series(metric, **_GPU, **labels)


def theirs(field: str) -> str:
    """Name a series of dcgm-exporter for GPU 0."""
    return series(str(field), **_HOST)


def _down() -> Alert:
    broken = (GpuState.LOST, GpuState.HUNG, GpuState.UNREACHABLE, GpuState.ERROR, GpuState.NO_PERMISSION, GpuState.DRIVER_MISSING)  # fmt: skip
    return Alert(
        name="LightmeterGpuDown",
        severity=Severity.PAGE,
        expr=f"{series(catalog.GPU_UP, reason=broken)} == 0",
        hold="1m",
        summary="GPU {{ $labels.gpu }} ({{ $labels.UUID }}) does not answer: {{ $labels.reason }}.",
        meaning="Lost: the device fell off the bus and takes a reset or a reboot. Hung: calls of the driver do not return; what ran there will not end. No permission, or no driver: the exporter cannot see, the GPU may be well.",
        first="Lost or hung: drain the node and reset the GPU (`nvidia-smi -r`), or reboot. No permission or no driver: see what changed in the exporter's container.",
        panel=catalog.GPU_HEALTH,
        labels={"component": "gpu", "cause": "gpu"},
        trials=(Trial(
            bad={ours(catalog.GPU_UP, reason=GpuState.LOST): "1x5 0x10 1x20"},
            calm={ours(catalog.GPU_UP, reason=GpuState.STARTING): "1x5 0x30"},
            fires="10m", over="20m", labels=_GPU | {"reason": GpuState.LOST},
            says="GPU 0 (GPU-1) does not answer: lost.",
        ),),
    )  # fmt: skip


def _gone() -> Alert:
    by, age = "instance, UUID, gpu", series(Dcgm.GPU_TEMP.value)
    there = series(Dcgm.GPU_TEMP.value, **_HOST, **_NODE)
    return Alert(
        name="LightmeterGpuGone",
        severity=Severity.PAGE,
        expr=f"count by ({by}) (last_over_time({age}[1h]))\nunless on (UUID)\ncount by ({by}) ({age})\nunless on (UUID)\ncount by (UUID) ({series(catalog.GPU_UP)})",
        hold="3m",
        summary="GPU {{ $labels.gpu }} ({{ $labels.UUID }}) was there within the last hour and is not on any exporter's page now.",
        meaning="The GPU, its node or its exporter is gone. Nothing is known of it, and what ran there may have died.",
        first="See whether the node's other GPUs are gone too: then it is the node or the exporter; one alone fell off the bus.",
        panel=catalog.GPU_HEALTH,
        labels={"component": "gpu", "cause": "gpu"},
        trials=(Trial(
            bad={there: "50x10 stale _x10 50x20"},
            calm={there: "50x10 stale _x1 50x30"},
            fires="18m", over="30m", labels=_GPU | _NODE,
            says="GPU 0 (GPU-1) was there within the last hour and is not on any exporter's page now.",
        ),),
    )  # fmt: skip


def _stale() -> Alert:
    return Alert(
        name="LightmeterExporterStale",
        severity=Severity.TICKET,
        expr=f"{series(catalog.SAMPLE_AGE)} > {_STALE_SECONDS}",
        hold="1m",
        summary="The newest sample of GPU {{ $labels.gpu }} ({{ $labels.UUID }}) is {{ $value | humanizeDuration }} old.",
        meaning="The page is served, but its readings are old: panels and rules about this GPU show the past.",
        first="Read the exporter's log for this GPU; a hung driver call shows as LightmeterGpuDown a moment later.",
        panel=catalog.GPU_HEALTH,
        labels={"component": "gpu", "symptom": "gpu"},
        trials=(Trial(
            bad={ours(catalog.SAMPLE_AGE): "1x5 300x10 1x20"},
            calm={ours(catalog.SAMPLE_AGE): "29x40"},
            fires="10m", over="20m", labels=_GPU,
            says="The newest sample of GPU 0 (GPU-1) is 5m 0s old.",
        ),),
    )  # fmt: skip


def _xid(*, page: bool) -> Alert:
    numbers = tuple(str(number) for number in (HARDWARE if page else APPLICATION))
    counted = f"increase({series(catalog.GPU_XID, xid=numbers)}[10m]) > 0"
    last = series(Dcgm.XID.value)
    values = " or ".join(f"{last} == {number}" for number in numbers)
    theirs_changed = f"({values})\nand\nchanges({last}[10m]) > 0"
    expr = f"{counted}\nor on (UUID)\n({theirs_changed})"
    shared = {"component": "gpu", "symptom": "gpu"}
    first = "Drain the node, save `nvidia-bug-report.sh`, reset the GPU; replace it where the error comes back."
    trial = Trial(
        bad={ours(catalog.GPU_XID, xid=numbers[0]): "0x5 1x30"},
        calm={ours(catalog.GPU_XID, xid="999"): "0x5 1x30"},
        fires="8m",
        over="25m",
        labels=_GPU | {"xid": numbers[0]},
        says=f"GPU 0 (GPU-1) reported XID {numbers[0]}, an error of {'the hardware' if page else 'a program on it'}.",
    )
    return Alert(
        name="LightmeterXidHardware" if page else "LightmeterXidApplication",
        severity=Severity.PAGE if page else Severity.TICKET,
        expr=expr,
        summary="GPU {{ $labels.gpu }} ({{ $labels.UUID }}) reported XID {{ with $labels.xid }}{{ . }}{{ else }}{{ $value }}{{ end }}, an error of " + ("the hardware." if page else "a program on it."),
        meaning="The driver reported an error that " + ("means damaged or lost hardware; work on this GPU fails or is wrong until it is reset." if page else "a program caused by itself, such as a bad memory access; that program died, the GPU goes on."),
        first=first if page else "Find the program that died on that GPU at that time; its fault comes back with the same input.",
        panel=catalog.GPU_ERRORS,
        labels=shared,
        trials=(trial, _dcgm_xid(trial, numbers[0], page=page)),
    )  # fmt: skip


def _dcgm_xid(trial: Trial, number: str, *, page: bool) -> Trial:
    """The same by NVIDIA's gauge, which holds the last error's number."""
    del page
    return Trial(
        bad={theirs(Dcgm.XID): f"0x5 {number}x30"},
        calm={theirs(Dcgm.XID): f"{number}x40"},
        fires=trial.fires,
        over=trial.over,
        labels=_HOST,
        says=trial.says,
    )


def _memory() -> Alert:
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
                fires="15m", over="30m", labels=_GPU,
                says="GPU 0 (GPU-1): 98% of its memory was in use at the highest moment of the last minute, for 5 minutes.",
            ),
            Trial(
                bad={theirs(Dcgm.FB_USED): "50x5 96x15 50x20", theirs(Dcgm.FB_FREE): "50x5 4x15 50x20"},
                calm={theirs(Dcgm.FB_USED): "94x40", theirs(Dcgm.FB_FREE): "6x40"},
                fires="15m", over="30m", labels=_GPU,
                says="GPU 0 (GPU-1): 96% of its memory was in use at the highest moment of the last minute, for 5 minutes.",
            ),
        ),
    )  # fmt: skip


def _grant() -> Alert:
    by = "(gpu, UUID, namespace, pod, container)"
    used, granted = (f"max by {by} ({series(metric)})" for metric in (catalog.POD_MEMORY_USED, catalog.POD_MEMORY_GRANTED))  # fmt: skip
    pod = {**_GPU, "namespace": "images", "pod": "shop-1", "container": "server"}
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


def _unknown() -> Alert:
    known = f"count by (UUID) ({series(catalog.POD_MEMORY_USED)})"
    pod = {**_GPU, "namespace": "images", "pod": "shop-1", "container": "server"}
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
            fires="25m", over="45m", labels=_GPU,
            says="2GiB of GPU 0 (GPU-1) are held by nobody who is known.",
        ),),
    )  # fmt: skip


def _throttled() -> Alert:
    ours_held = f"rate({series(catalog.GPU_THROTTLE, reason=_HELD_DOWN)}[5m])"
    thermal = next(name for name, reason in catalog.DCGM_VIOLATIONS.items() if reason == Throttle.THERMAL)  # fmt: skip
    theirs_held = f"rate({thermal}[5m]) / 1e9"
    return Alert(
        name="LightmeterGpuThrottled",
        severity=Severity.TICKET,
        expr=f"(\n{ours_held}\nor on (UUID)\n{theirs_held}\n) > 0.1",
        hold="10m",
        summary="GPU {{ $labels.gpu }} ({{ $labels.UUID }}) held its clocks down for {{ $value | humanizePercentage }} of the last 5 minutes{{ with $labels.reason }}: {{ . }}{{ end }}.",
        meaning="Pictures take longer than they should, and the scaler buys GPUs to make up for it. Holding down for power alone is normal under load and does not count here.",
        first="Check the fans, the air and the temperature of that node; compare it with its neighbours on the panel.",
        panel=catalog.GPU_CLOCKS,
        labels={"component": "gpu", "symptom": "gpu"},
        trials=(
            Trial(
                bad={ours(catalog.GPU_THROTTLE, reason=Throttle.THERMAL): "0x5 0+30x25 750x40"},
                calm={ours(catalog.GPU_THROTTLE, reason=Throttle.THERMAL): "0+5.9x60"},
                fires="25m", over="45m", labels=_GPU | {"reason": Throttle.THERMAL},
                says="GPU 0 (GPU-1) held its clocks down for 50% of the last 5 minutes: thermal.",
            ),
            Trial(
                bad={theirs(thermal): "0x5 0+30000000000x25 750000000000x40"},
                calm={ours(catalog.GPU_THROTTLE, reason=Throttle.POWER): "0+60x60"},
                fires="25m", over="45m", labels=_HOST,
                says="GPU 0 (GPU-1) held its clocks down for 50% of the last 5 minutes.",
            ),
        ),
    )  # fmt: skip


def _ecc() -> Alert:
    return Alert(
        name="LightmeterEccUncorrected",
        severity=Severity.PAGE,
        expr=f"increase({series(Dcgm.ECC_DBE_VOL.value)}[15m]) > 0",
        summary="GPU {{ $labels.gpu }} ({{ $labels.UUID }}) had memory errors that could not be corrected in the last 15 minutes.",
        meaning="What was in that memory is wrong; the program that used it is ended. Pictures made there cannot be trusted until the GPU is reset.",
        first="Drain the node and reset the GPU, so that the rows are remapped.",
        panel=catalog.GPU_ERRORS,
        labels={"component": "gpu", "symptom": "gpu"},
        trials=(Trial(
            bad={theirs(Dcgm.ECC_DBE_VOL): "0x5 1x40"},
            calm={theirs(Dcgm.ECC_DBE_VOL): "7x40"},
            fires="8m", over="30m", labels=_HOST,
            says="GPU 0 (GPU-1) had memory errors that could not be corrected in the last 15 minutes.",
        ),),
    )  # fmt: skip


def _remap() -> Alert:
    return Alert(
        name="LightmeterRowRemapFailed",
        severity=Severity.TICKET,
        expr=f"{series(Dcgm.REMAP_FAILURE.value)} > 0",
        hold="5m",
        summary="GPU {{ $labels.gpu }} ({{ $labels.UUID }}) has no spare memory rows left for a damaged one.",
        meaning="The next memory error there cannot be mended. NVIDIA's criterion for a replacement.",
        first="Have the GPU replaced; until then keep work that must not fail off it.",
        panel=catalog.GPU_ERRORS,
        labels={"component": "gpu", "symptom": "gpu"},
        trials=(Trial(
            bad={theirs(Dcgm.REMAP_FAILURE): "0x5 1x15 0x20"},
            calm={theirs(Dcgm.REMAP_FAILURE): "0x40"},
            fires="15m", over="30m", labels=_HOST,
            says="GPU 0 (GPU-1) has no spare memory rows left for a damaged one.",
        ),),
    )  # fmt: skip
