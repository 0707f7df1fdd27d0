"""GPU fleet: what the GPUs and their hosts do, by our exporter's series or by dcgm-exporter's. Pure."""

from __future__ import annotations

from dashboards.panel import Dashboard, Kind, Panel, Section, Target
from dashboards.query import RATE, pick, rate, share
from lightmeter import catalog
from lightmeter.catalog import Board, Dcgm


_MIB = 2**20
_PEAK = "60s"
"""The exporter's default window."""
_GPU = "instance, gpu, UUID"
_LEGEND = "{{instance}} GPU {{gpu}}"
_EMPTY = "No GPU is seen"
_UP = (("1", "answers", "green"), ("0", "down", "red"))
USED, FREE, RESERVED = (pick(field) for field in (Dcgm.FB_USED, Dcgm.FB_FREE, Dcgm.FB_RESERVED))


def busy() -> str:
    """Tell each GPU's busy share: ours by counters, NVIDIA's by its gauge."""
    ours = share(*(rate(_GPU, pick(metric)) for metric in (catalog.GPU_BUSY, catalog.GPU_SAMPLED)))
    return f"({ours}) or on (UUID) avg by ({_GPU}) (avg_over_time({pick(Dcgm.GPU_UTIL)}[{RATE}])) / 100"  # fmt: skip


def watts() -> str:
    """Tell each GPU's power: the energy counter's growth, or NVIDIA's reading."""
    ours = rate(_GPU, pick(catalog.GPU_ENERGY))
    return f"{ours} or on (UUID) avg by ({_GPU}) (avg_over_time({pick(Dcgm.POWER_USAGE)}[{RATE}]))"


def dashboard() -> Dashboard:
    """Make it."""
    return Dashboard(
        board=Board.FLEET,
        title="Lightmeter / GPU fleet",
        about="Which GPUs answer, what they are busy with, whose memory it is, and what they draw.",
        sections=(
            Section("Now", _now()),
            Section("Health", _health()),
            Section("Work", _work()),
            Section("Memory", _memory()),
            Section("Power and heat", _power()),
            Section("Hosts and exporters", _hosts()),
        ),
    )


def _place(number: int, title: str) -> catalog.Panel:
    return catalog.Panel(Board.FLEET, number, title)


def _now() -> tuple[Panel, ...]:
    size = f"({USED} + {FREE} + ({RESERVED} or 0 * {USED}))"
    seen = f"count(count by (instance, UUID) ({pick(Dcgm.GPU_TEMP)}))"
    stats = (
        (20, "GPUs seen", "count:GPUs", seen, "GPUs on the exporters' pages.", "As many as there are.", "Fewer: see GPUs that answer for the reason."),
        (21, "Busy", "percentunit", f"avg({busy()})", "Mean utilisation of all GPUs.", "High when requests wait; low GPUs cost money.", "Low for hours: see Idle GPUs on Cost."),
        (22, "Memory in use", "percentunit", share(f"sum({USED})", f"sum({size})"), "Share of all GPU memory in use.", "Weights stay loaded, so it does not fall at night.", "Near 100 %: see Memory and its peaks for which GPU."),
        (23, "Power", "watt", f"sum({watts()})", "What all GPUs draw.", "Follows the work.", "High without work: a process spins; see Busy by container."),
        (24, "Hottest GPU", "celsius", f"max({pick(Dcgm.GPU_TEMP)})", "The highest temperature of a GPU.", "Below 85 °C.", "Above: see Clocks held down, then the fans and the air."),
        (25, "XID errors of the last day", "count:errors", f"sum(increase({pick(catalog.GPU_XID)}[1d])) or 0 * count({pick(Dcgm.GPU_TEMP)})", "Errors that the driver reported.", "None.", "See XID and memory errors; the alert's runbook tells hardware from programs."),
    )  # fmt: skip
    return tuple(
        Panel(place=_place(number, title), kind=Kind.STAT, unit=unit, targets=(Target(query),),
              shows=shows, normal=normal, act=act, width=4, height=4, empty=_EMPTY)
        for number, title, unit, query, shows, normal, act in stats
    )  # fmt: skip


def _health() -> tuple[Panel, ...]:
    up = f"min by ({_GPU}) ({pick(catalog.GPU_UP)}) or on (UUID) 0 * min by ({_GPU}) ({pick(Dcgm.GPU_TEMP)}) + 1"
    ours = f"sum by ({_GPU}, reason) (rate({pick(catalog.GPU_THROTTLE)}[{RATE}]))"
    theirs = tuple(
        Target(f"sum by ({_GPU}) (rate({pick(name)}[{RATE}])) / 1e9 unless on (UUID) rate({pick(catalog.GPU_THROTTLE)}[{RATE}])", f"{_LEGEND} {reason}")
        for name, reason in catalog.DCGM_VIOLATIONS.items()
        if reason in (catalog.Throttle.POWER, catalog.Throttle.THERMAL)
    )  # fmt: skip
    errors = (
        Target(f"sum by ({_GPU}, xid) (increase({pick(catalog.GPU_XID)}[{RATE}]))", f"{_LEGEND} XID {{{{xid}}}}"),
        Target(f"sum by ({_GPU}) (increase({pick(Dcgm.ECC_DBE_VOL)}[{RATE}]))", f"{_LEGEND} uncorrected"),
        Target(f"sum by ({_GPU}) (increase({pick(Dcgm.ECC_SBE_VOL)}[{RATE}]))", f"{_LEGEND} corrected"),
        Target(f"max by ({_GPU}) ({pick(Dcgm.XID)})", f"{_LEGEND} last XID"),
    )  # fmt: skip
    return (
        Panel(place=catalog.GPU_HEALTH, kind=Kind.STATES, unit="none", targets=(Target(up, _LEGEND),), words=_UP, empty=_EMPTY,
              shows="Whether each GPU answers its exporter.",
              normal="All answer.",
              act="down: the alert names the reason. lost or hung: drain the node, reset the GPU."),
        Panel(place=catalog.GPU_CLOCKS, kind=Kind.LINES, unit="percentunit", most=1, targets=(Target(ours, f"{_LEGEND} {{{{reason}}}}"), *theirs), empty=_EMPTY,
              shows="Share of the time that clocks were held down, by reason.",
              normal="power under full load is as it should be; thermal and reliability are not.",
              act="thermal: fans, air, neighbours. power all the time: the limit is set low."),
        Panel(place=catalog.GPU_ERRORS, kind=Kind.LINES, unit="none", targets=errors, empty=_EMPTY,
              shows="XID errors by number, memory errors corrected and not, and the number of the last XID.",
              normal="None; a corrected error now and then.",
              act="Uncorrected, or a hardware XID: drain the node, reset the GPU, replace it when it comes back."),
    )  # fmt: skip


def _work() -> tuple[Panel, ...]:
    active = (
        Target(share(*(rate(_GPU, pick(m)) for m in (catalog.GPU_SM_ACTIVE, catalog.GPU_SAMPLED))), f"{_LEGEND} SM"),
        Target(f"avg by ({_GPU}) ({pick(Dcgm.SM_ACTIVE)}) unless on (UUID) rate({pick(catalog.GPU_SM_ACTIVE)}[{RATE}])", f"{_LEGEND} SM"),
        Target(f"avg by ({_GPU}) ({pick(Dcgm.TENSOR_ACTIVE)})", f"{_LEGEND} tensor"),
    )  # fmt: skip
    owner = "namespace, pod, container"
    return (
        Panel(place=catalog.GPU_UTILIZATION, kind=Kind.LINES, unit="percentunit", most=1, targets=(Target(busy(), _LEGEND),), empty=_EMPTY,
              shows="Share of the time with a kernel running: by counters that miss nothing between scrapes, or by NVIDIA's gauge.",
              normal="High while requests wait.",
              act="Low while requests wait: the CPU, the network or small batches hold it up."),
        Panel(place=_place(26, "Active multiprocessors"), kind=Kind.LINES, unit="percentunit", most=1, targets=active, empty=_EMPTY,
              shows="Work on the multiprocessors and tensor cores, weighted by their share. Busy with little of this is a GPU that is held, not used.",
              normal="Above half when busy, for a diffusion model.",
              act="Low when busy: larger batches."),
        Panel(place=_place(27, "Busy by container"), kind=Kind.LINES, unit="percentunit", stacked=True, empty="No container is known",
              targets=(Target(rate(owner, pick(catalog.POD_BUSY)), "{{namespace}}/{{pod}} {{container}}"),),
              shows="GPU time of each container's processes.",
              normal="The services that belong there.",
              act="A stranger: see who started it; shared GPUs do not isolate."),
    )  # fmt: skip


def _memory() -> tuple[Panel, ...]:
    peak = f"max by ({_GPU}) ({pick(catalog.GPU_MEMORY_PEAK, window=_PEAK)})"
    owner = "namespace, pod, container"
    name = "{{namespace}}/{{pod}} {{container}}"
    owned = (
        Target(f"sum by ({owner}) ({pick(catalog.POD_MEMORY_USED)})", f"{name} holds"),
        Target(f"sum by ({owner}) ({pick(catalog.POD_MEMORY_GRANTED)})", f"{name} was granted"),
        Target(f"sum by ({_GPU}) ({pick(catalog.UNATTRIBUTED_MEMORY)})", f"{_LEGEND} nobody known"),
    )
    failed = f"sum by (service, resolution) (increase({pick(catalog.OOM)}[{RATE}]))"
    tensors = f"max by (service, UUID) ({pick(catalog.TORCH_MEMORY_PEAK)})"
    return (
        Panel(place=catalog.GPU_MEMORY, kind=Kind.LINES, unit="bytes", width=12, empty=_EMPTY,
              targets=(Target(f"max by ({_GPU}) ({USED}) * {_MIB}", f"{_LEGEND} used"), Target(peak, f"{_LEGEND} peak"),
                       Target(f"max by ({_GPU}) ({USED} + {FREE}) * {_MIB}", f"{_LEGEND} size")),
              shows="Memory in use, its highest moment of the last minute, and the size.",
              normal="Peaks below the size by a few percent.",
              act="Peaks at the size: lower the batch size at /admin/limits, or give the service a larger slice."),
        Panel(place=catalog.POD_MEMORY, kind=Kind.LINES, unit="bytes", width=12, targets=owned, empty=_EMPTY,
              shows="Memory that each container holds and was granted, and what belongs to nobody who is known.",
              normal="Held below granted; nobody's memory is what the driver takes.",
              act="Above its grant: cap it with the server's memory setting. Nobody's and large: a process was left behind."),
        Panel(place=_place(33, "Out of memory"), kind=Kind.LINES, unit="count:times", targets=(Target(failed, "{{service}} {{resolution}}"),), width=12, empty="No server",
              shows="How often the GPU ran out of memory, by the pictures' area.",
              normal="Never.",
              act="See Memory by container: a neighbour's grew, or this service's batches do not fit."),
        Panel(place=_place(28, "Tensors' peak"), kind=Kind.LINES, unit="bytes", width=12, targets=(Target(tensors, "{{service}} {{UUID}}"),), empty="No server on a GPU",
              shows="Most memory that tensors took in the last batch of each worker.",
              normal="Follows sizes and batches.",
              act="Far below what the process holds: the allocator keeps it; a smaller grant is possible."),
    )  # fmt: skip


def _power() -> tuple[Panel, ...]:
    return (
        Panel(place=_place(29, "Power by GPU"), kind=Kind.LINES, unit="watt", targets=(Target(watts(), _LEGEND),), empty=_EMPTY,
              shows="What each GPU draws, from its energy counter where there is one.",
              normal="Between its idle draw and its limit.",
              act="At the limit all the time: see Clocks held down."),
        Panel(place=_place(30, "Temperature"), kind=Kind.LINES, unit="celsius", targets=(Target(f"max by ({_GPU}) ({pick(Dcgm.GPU_TEMP)})", _LEGEND),), empty=_EMPTY,
              shows="Temperature of each GPU.",
              normal="Below 85 °C, and alike within a node.",
              act="One hotter than its neighbours: its fan or its place."),
        Panel(place=_place(31, "SM clock"), kind=Kind.LINES, unit="hertz", targets=(Target(f"max by ({_GPU}) ({pick(Dcgm.SM_CLOCK)}) * 1e6", _LEGEND),), empty=_EMPTY,
              shows="Clock of the multiprocessors.",
              normal="Near its maximum under load.",
              act="Falls under load: see Clocks held down for why."),
    )  # fmt: skip


def _hosts() -> tuple[Panel, ...]:
    idle = f"avg by (instance) (rate({pick(catalog.NODE_CPU, mode='idle')}[{RATE}]))"
    free, whole = (pick(catalog.NODE_MEMORY[key]) for key in ("MemAvailable", "MemTotal"))
    disk, size = (pick(metric) for metric in (catalog.NODE_FILESYSTEM_AVAIL, catalog.NODE_FILESYSTEM_SIZE))  # fmt: skip
    return (
        Panel(place=catalog.HOST, kind=Kind.LINES, unit="percentunit", most=1, width=12, empty=_EMPTY,
              targets=(Target(f"1 - {idle}", "{{instance}} CPU"), Target(f"1 - max by (instance) ({share(free, whole)})", "{{instance}} memory"),
                       Target(f"1 - min by (instance) ({share(disk, size)})", "{{instance}} fullest disk")),
              shows="CPU, memory and fullest file system in use, by node_exporter's names.",
              normal="CPU well below 100 % while GPUs work.",
              act="CPU at 100 %: pictures wait for encoding. Disk full: the picture store and the history stop."),
        Panel(place=_place(32, "Age of readings"), kind=Kind.LINES, unit="s", width=12, empty=_EMPTY,
              targets=(Target(f"max by ({_GPU}) ({pick(catalog.SAMPLE_AGE)})", _LEGEND),),
              shows="How old the newest sample of each GPU is.",
              normal="Below a second.",
              act="Grows: a driver call hangs; the GPU is told as down soon."),
    )  # fmt: skip
