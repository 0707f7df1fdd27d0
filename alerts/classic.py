"""The thresholds of the founding article on monitoring, exactly as stated. Pure.

Memory or utilisation of a GPU above 90 % for a minute; more than 1.5 s a request; CPU, memory or
disk above 85 % for two minutes; fewer than 95 % of the requests successful; one instance more
while the mean latency is above 1 s for 5 minutes, one less while utilisation is below 30 % for 30.
docs/alerts.md shows what each does on a production trace, and why the recommended pack differs.
"""

from __future__ import annotations

from alerts.causes_server import shop
from alerts.objectives import Slo
from alerts.promql import grown, rate, series, share
from alerts.rule import Alert, Group, Pack, Severity, Trial
from alerts.trial_gpu import theirs
from lightmeter import catalog
from lightmeter.catalog import Dcgm, Outcome


_SHOP = {"service": "shop"}
_HOST = {"gpu": "0", "UUID": "GPU-1", "Hostname": "node1"}
_NODE = {"instance": "node1:9100"}
_FAILED = (Outcome.SHED, Outcome.TIMEOUT, Outcome.OOM, Outcome.ERROR, Outcome.ANOMALOUS)


def pack(slo: Slo) -> Pack:
    """Make the classic rules."""
    by = slo.by
    return Pack("classic", (
        Group("lightmeter-classic", "classic", (
            _gpu("Memory", f"{_memory()} * 100", _MEMORY_TRIAL, "of its memory in use"),
            _gpu("Utilisation", series(Dcgm.GPU_UTIL.value), _UTIL_TRIAL, "of the time with a kernel running"),
            _latency(by), _success(by), _cpu(), _host_memory(), _disk(),
        )),
        Group("lightmeter-classic-scaling", "classic", (_up(by), _down())),
    ))  # fmt: skip


def _memory() -> str:
    used, free = series(Dcgm.FB_USED.value), series(Dcgm.FB_FREE.value)
    return f"{used} / ({used} + {free})"


_MEMORY_TRIAL = (
    {theirs(Dcgm.FB_USED): "50x5 95x10 50x20", theirs(Dcgm.FB_FREE): "50x5 5x10 50x20"},
    {theirs(Dcgm.FB_USED): "90x40", theirs(Dcgm.FB_FREE): "10x40"},
)
_UTIL_TRIAL = ({theirs(Dcgm.GPU_UTIL): "50x5 95x10 50x20"}, {theirs(Dcgm.GPU_UTIL): "90x40"})


def _gpu(what: str, percent: str, readings: tuple[dict[str, str], dict[str, str]], of: str) -> Alert:  # fmt: skip
    bad, calm = readings
    return Alert(
        name=f"LightmeterClassicGpu{what}",
        severity=Severity.TICKET,
        expr=f"{percent} > 90",
        hold="1m",
        summary=f'GPU {{{{ $labels.gpu }}}} on {{{{ $labels.Hostname }}}}: {{{{ $value | printf "%.0f" }}}}% {of}, for a minute.',
        meaning="The article's threshold. Resident weights fill memory whatever the load, and a busy GPU is what was paid for: neither says that users suffer.",
        first="See whether anybody waits; if not, leave it.",
        panel=catalog.GPU_MEMORY if what == "Memory" else catalog.GPU_UTILIZATION,
        labels={"component": "gpu"},
        trials=(Trial(bad, calm, fires="10m", over="20m", labels=_HOST, says=f"GPU 0 on node1: 95% {of}, for a minute."),),
    )  # fmt: skip


def _mean_latency(by: str, window: str) -> str:
    return share(rate(by, series(catalog.REQUEST_DURATION, "_sum"), window), rate(by, series(catalog.REQUEST_DURATION, "_count"), window))  # fmt: skip


def _latency(by: str) -> Alert:
    return Alert(
        name="LightmeterClassicLatency",
        severity=Severity.TICKET,
        expr=f"{_mean_latency(by, '5m')}\n> 1.5",
        summary='{{ $labels.service }}: a request takes {{ $value | printf "%.2f" }} s on average.',
        meaning="The article's threshold. Seconds say nothing without pixels, steps and pictures: one large picture takes longer by itself.",
        first="See in the stages where the time goes; if it is denoise alone, the pictures are that large.",
        panel=catalog.STAGES,
        labels={"component": "server"},
        trials=(Trial(
            bad={shop(catalog.REQUEST_DURATION, "_sum", priority="interactive"): "0+1x5 5+20x15 305+1x20", shop(catalog.REQUEST_DURATION, "_count", priority="interactive"): "0+10x60"},
            calm={shop(catalog.REQUEST_DURATION, "_sum", priority="interactive"): "0+15x60", shop(catalog.REQUEST_DURATION, "_count", priority="interactive"): "0+10x60"},
            fires="15m", over="30m", labels=_SHOP, says="shop: a request takes 2.00 s on average.",
        ),),
    )  # fmt: skip


def _success(by: str) -> Alert:
    good = grown(by, series(catalog.REQUESTS, outcome=Outcome.OK), "5m")
    every = grown(by, series(catalog.REQUESTS, outcome=(Outcome.OK, *_FAILED)), "5m")
    return Alert(
        name="LightmeterClassicSuccess",
        severity=Severity.TICKET,
        expr=f"{share(good, every)}\n< 0.95",
        summary="{{ $labels.service }}: {{ $value | humanizePercentage }} of the requests of the last 5 minutes succeeded.",
        meaning="The article's threshold, without a guard for low traffic: one failure of ten requests is enough.",
        first="See how many requests that is, and which outcome they had.",
        panel=catalog.REQUEST_OUTCOMES,
        labels={"component": "server"},
        trials=(Trial(
            bad={shop(catalog.REQUESTS, outcome=Outcome.OK): "0+9x15 135+10x20", shop(catalog.REQUESTS, outcome=Outcome.ERROR): "0+1x15 15x20"},
            calm={shop(catalog.REQUESTS, outcome=Outcome.OK): "0+96x40", shop(catalog.REQUESTS, outcome=Outcome.ERROR): "0+4x40"},
            fires="10m", over="25m", labels=_SHOP, says="shop: 90% of the requests of the last 5 minutes succeeded.",
        ),),
    )  # fmt: skip


def _host(what: str, ratio: str, readings: tuple[dict[str, str], dict[str, str]], labels: dict[str, str]) -> Alert:  # fmt: skip
    bad, calm = readings
    return Alert(
        name=f"LightmeterClassic{what}",
        severity=Severity.TICKET,
        expr=f"{ratio}\n> 0.85",
        hold="2m",
        summary=f"{{{{ $labels.instance }}}}: {what.lower()} is {{{{ $value | humanizePercentage }}}} in use, for two minutes.",
        meaning="The article's threshold. It says that something is used, not that anything is slow.",
        first="See whether it grows; LightmeterDiskFull says when a disk will be full.",
        panel=catalog.HOST,
        labels={"component": "host"},
        trials=(Trial(bad, calm, fires="12m", over="30m", labels=labels, says=f"node1:9100: {what.lower()} is 90% in use, for two minutes."),),
    )  # fmt: skip


def _cpu() -> Alert:
    idle = series(catalog.NODE_CPU, mode="idle")
    one = series(catalog.NODE_CPU, **_NODE, cpu="0", mode="idle")
    readings = ({one: "0+6x15 90+60x20"}, {one: "0+9.1x40"})
    return _host("Cpu", f"1 - avg by (instance) (rate({idle}[2m]))", readings, _NODE)


def _host_memory() -> Alert:
    free, size = (series(catalog.NODE_MEMORY[key], **_NODE) for key in ("MemAvailable", "MemTotal"))
    readings = ({free: "50x5 10x10 50x20", size: "100x40"}, {free: "15x40", size: "100x40"})
    ratio = f"1 - {series(catalog.NODE_MEMORY['MemAvailable'])} / {series(catalog.NODE_MEMORY['MemTotal'])}"  # fmt: skip
    return _host("Memory", ratio, readings, _NODE)


def _disk() -> Alert:
    disk = {**_NODE, "device": "/dev/sda1", "fstype": "ext4", "mountpoint": "/data"}
    free, size = series(catalog.NODE_FILESYSTEM_AVAIL, **disk), series(catalog.NODE_FILESYSTEM_SIZE, **disk)  # fmt: skip
    readings = ({free: "50x5 10x10 50x20", size: "100x40"}, {free: "15x40", size: "100x40"})
    ratio = f"1 - {series(catalog.NODE_FILESYSTEM_AVAIL)} / {series(catalog.NODE_FILESYSTEM_SIZE)}"
    return _host("Disk", ratio, readings, disk)


def _up(by: str) -> Alert:
    return Alert(
        name="LightmeterClassicScaleUp",
        severity=Severity.NONE,
        expr=f"{_mean_latency(by, '5m')}\n> 1",
        hold="5m",
        summary='{{ $labels.service }}: one instance more; a request took {{ $value | printf "%.2f" }} s on average, for 5 minutes.',
        meaning="The article's rule. On a production trace mean latency falls when load grows, so this rule is true nearly always.",
        first="Nothing: it is for the scaler's policy `classic`.",
        panel=catalog.QUEUE,
        labels={"component": "scaling", catalog.ACTION_LABEL: catalog.ScaleAction.UP},
        trials=(Trial(
            bad={shop(catalog.REQUEST_DURATION, "_sum", priority="interactive"): "0+20x20 400+1x20", shop(catalog.REQUEST_DURATION, "_count", priority="interactive"): "0+10x60"},
            calm={shop(catalog.REQUEST_DURATION, "_sum", priority="interactive"): "0+10x60", shop(catalog.REQUEST_DURATION, "_count", priority="interactive"): "0+10x60"},
            fires="15m", over="35m", labels=_SHOP, says="shop: one instance more; a request took 2.00 s on average, for 5 minutes.",
        ),),
    )  # fmt: skip


def _down() -> Alert:
    return Alert(
        name="LightmeterClassicScaleDown",
        severity=Severity.NONE,
        expr=f"avg({series(Dcgm.GPU_UTIL.value)}) < 30",
        hold="30m",
        summary='One instance less: GPUs were busy for {{ $value | printf "%.0f" }}% of the time, for 30 minutes.',
        meaning="The article's rule. On a production trace mean utilisation never reached 30 %, so this rule is true always.",
        first="Nothing: it is for the scaler's policy `classic`.",
        panel=catalog.GPU_UTILIZATION,
        labels={"component": "scaling", catalog.ACTION_LABEL: catalog.ScaleAction.DOWN},
        trials=(Trial(
            bad={theirs(Dcgm.GPU_UTIL): "20x50 50x20"},
            calm={theirs(Dcgm.GPU_UTIL): "30x60"},
            fires="40m", over="60m", says="One instance less: GPUs were busy for 20% of the time, for 30 minutes.",
        ),),
    )  # fmt: skip
