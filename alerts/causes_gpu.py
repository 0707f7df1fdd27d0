"""What goes wrong in GPUs, by our exporter's series or by dcgm-exporter's. Pure.

Each condition takes ours where it is there, and NVIDIA's else; a metric that neither has makes a
condition silent.
"""

from __future__ import annotations

from alerts import causes_memory
from alerts.promql import series
from alerts.rule import Alert, Group, Severity, Trial
from alerts.trial_gpu import GPU, HOST, NODE, ours, theirs
from alerts.xids import APPLICATION, HARDWARE
from lightmeter import catalog
from lightmeter.catalog import Dcgm, GpuState, Throttle


_STALE_SECONDS = 30
_RECENT_SECONDS = 600
"""Of an XID. Its counter would not do: it begins with the first error, at 1, which is no increase."""
_HELD_DOWN = (Throttle.THERMAL, Throttle.RELIABILITY, Throttle.BOARD_LIMIT)
"""Not power: a GPU at full load is held at its power limit, and that is as it should be."""


def group() -> Group:
    """Make the rules on GPUs."""
    return Group("lightmeter-gpu", "gpu", (
        _down(), _gone(), _stale(), _xid(page=True), _xid(page=False), causes_memory.memory(), causes_memory.grant(), causes_memory.unknown(),
        _throttled(), _ecc(), _remap(),
    ))  # fmt: skip


def _down() -> Alert:
    broken = (GpuState.LOST, GpuState.HUNG, GpuState.UNREACHABLE, GpuState.ERROR, GpuState.NO_PERMISSION, GpuState.DRIVER_MISSING)  # fmt: skip
    return Alert(
        name="LightmeterGpuDown",
        severity=Severity.PAGE,
        expr=f"{series(catalog.GPU_UP, reason=broken)} == 0",
        hold="1m",
        summary="{{ if $labels.gpu }}GPU {{ $labels.gpu }} ({{ $labels.UUID }}) does not answer{{ else }}No GPU of {{ $labels.instance }} answers{{ end }}: {{ $labels.reason }}.",
        meaning="Lost: the device fell off the bus and takes a reset or a reboot. Hung: calls of the driver do not return; what ran there will not end. No permission, or no driver: the exporter cannot see, the GPU may be well.",
        first="Lost or hung: drain the node and reset the GPU (`nvidia-smi -r`), or reboot. No permission or no driver: see what changed in the exporter's container. A machine on whose PCI bus there is no NVIDIA GPU, or only such as are handed to virtual machines, says `no_gpu` and is silent; `export.gpus` says how many there must be.",
        panel=catalog.GPU_HEALTH,
        labels={"component": "gpu", "cause": "gpu"},
        trials=(Trial(
            bad={ours(catalog.GPU_UP, reason=GpuState.LOST): "1x5 0x10 1x20"},
            calm={ours(catalog.GPU_UP, reason=GpuState.STARTING): "1x5 0x30"},
            fires="10m", over="20m", labels=GPU | {"reason": GpuState.LOST},
            says="GPU 0 (GPU-1) does not answer: lost.",
        ), Trial(
            bad={series(catalog.GPU_UP, **NODE, reason=GpuState.DRIVER_MISSING): "0x10 stale"},
            calm={series(catalog.GPU_UP, **NODE, reason=GpuState.NO_GPU): "0x20"},
            fires="2m", over="20m", labels=NODE | {"reason": GpuState.DRIVER_MISSING},
            says="No GPU of node1:9400 answers: driver_missing.",
        )),
    )  # fmt: skip


def _gone() -> Alert:
    by, age = "instance, UUID, gpu", series(Dcgm.GPU_TEMP.value)
    there = series(Dcgm.GPU_TEMP.value, **HOST, **NODE)
    return Alert(
        name="LightmeterGpuGone",
        severity=Severity.PAGE,
        expr=f"count by ({by}) (last_over_time({age}[1d]))\nunless on (UUID)\ncount by ({by}) ({age})\nunless on (UUID)\ncount by (UUID) ({series(catalog.GPU_UP)})\nand on (instance)\n{series(catalog.UP)} == 1",
        hold="3m",
        summary="GPU {{ $labels.gpu }} ({{ $labels.UUID }}) is not on the page of {{ $labels.instance }} any more, which answers.",
        meaning="The exporter answers and does not know this GPU any more: it fell off the bus, or was taken out. What ran there has died. (A node that is gone as a whole is LightmeterExporterDead, or nothing where it was taken out of service discovery.)",
        first="See the kernel's log of that node for XID 79; drain the node and reset the GPU, or reboot.",
        panel=catalog.GPU_HEALTH,
        labels={"component": "gpu", "cause": "gpu"},
        trials=(Trial(
            bad={there: "50x10 stale _x10 50x20", series(catalog.UP, **NODE): "1x50"},
            calm={there: "50x10 stale _x10 50x20", series(catalog.UP, **NODE): "1x10 0x40"},
            fires="18m", over="30m", labels=GPU | NODE,
            says="GPU 0 (GPU-1) is not on the page of node1:9400 any more, which answers.",
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
            fires="10m", over="20m", labels=GPU,
            says="The newest sample of GPU 0 (GPU-1) is 5m 0s old.",
        ),),
    )  # fmt: skip


def _xid(*, page: bool) -> Alert:
    numbers = tuple(str(number) for number in (HARDWARE if page else APPLICATION))
    known = f"last_over_time({series(catalog.GPU_XID_LAST, xid=numbers)}[{_RECENT_SECONDS}s])"  # also of a GPU that was lost by it
    counted = f"time() - {known} < {_RECENT_SECONDS}"
    last = series(Dcgm.XID.value)
    values = " or ".join(f"{last} == {number}" for number in numbers)
    theirs_changed = f"({values})\nand\nchanges({last}[{_RECENT_SECONDS}s]) > 0"
    expr = f"{counted}\nor on (UUID)\n({theirs_changed})"
    shared = {"component": "gpu", "symptom": "gpu"}
    first = "Drain the node, save `nvidia-bug-report.sh`, reset the GPU; replace it where the error comes back."
    trial = Trial(
        bad={ours(catalog.GPU_XID_LAST, xid=numbers[0]): "_x5 360x30"},
        calm={ours(catalog.GPU_XID_LAST, xid="999"): "_x5 360x30"},
        fires="8m",
        over="25m",
        labels=GPU | {"xid": numbers[0]},
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
        labels=HOST,
        says=trial.says,
    )


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
                fires="25m", over="45m", labels=GPU | {"reason": Throttle.THERMAL},
                says="GPU 0 (GPU-1) held its clocks down for 50% of the last 5 minutes: thermal.",
            ),
            Trial(
                bad={theirs(thermal): "0x5 0+30000000000x25 750000000000x40"},
                calm={ours(catalog.GPU_THROTTLE, reason=Throttle.POWER): "0+60x60"},
                fires="25m", over="45m", labels=HOST,
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
            fires="8m", over="30m", labels=HOST,
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
            fires="15m", over="30m", labels=HOST,
            says="GPU 0 (GPU-1) has no spare memory rows left for a damaged one.",
        ),),
    )  # fmt: skip
