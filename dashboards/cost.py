"""Cost: what pictures cost in money and energy, what stands idle, what else it could cost. Pure."""

from __future__ import annotations

from dashboards.fleet import busy, watts
from dashboards.panel import Choice, Dashboard, Kind, Panel, Section, Target
from dashboards.query import RATE, pick, rate, share
from lightmeter import catalog
from lightmeter.catalog import Board, Dcgm, WorkerState


_MONTH_HOURS = 730
_BATCH = 1000
_JOULES_PER_WH = 3600
_NO_PRICE = "No price set (serve.gpu_hour_price)"
_NO_METER = "No energy counter (serve.exporter_url)"
_NO_GPU = "No GPU is seen"


def dashboard() -> Dashboard:
    """Make it."""
    return Dashboard(
        board=Board.COST,
        title="Lightmeter / Cost",
        about="What pictures cost in money and energy, what stands idle, and what else it could cost.",
        sections=(
            Section("Now", _now()),
            Section("Money", _money()),
            Section("GPU time", _time()),
            Section("Energy", _energy()),
        ),
        choices=(
            Choice("budget", "Budget of 30 days", "1000"),
            Choice("gpu_hour", "GPU hour, rented", "1"),
            Choice("on_demand_hour", "GPU hour, on demand", "2"),
            Choice("fill", "Fill of a shared GPU", "0.7"),
        ),
    )


def _place(number: int, title: str) -> catalog.Panel:
    return catalog.Panel(Board.COST, number, title)


def _per_images(metric: catalog.Metric, by: str) -> str:
    pictures = f"sum by (service) (rate({pick(catalog.IMAGES)}[{RATE}]))"
    return f"{_BATCH} * {share(rate(by, pick(metric)), pictures, 'on (service) group_left ()')}"


def _used() -> str:
    return f"sum(rate({pick(catalog.GPU_SECONDS)}[{RATE}]))"


def _now() -> tuple[Panel, ...]:
    idle = f"1 - avg({busy()})"
    wh = f"{_per_images(catalog.ENERGY, 'service')} / {_JOULES_PER_WH}"
    stats = (
        (20, "Spend in an hour", "short", f"{rate('currency', pick(catalog.COST))} * 3600", "{{currency}}", _NO_PRICE, "Price of the GPU seconds spent, at this pace, for an hour.", "Follows the work.", "Jumps: see Spend by service."),
        (21, "1,000 pictures cost", "short", _per_images(catalog.COST, "service, currency"), "{{service}} {{currency}}", _NO_PRICE, "Price of the GPU seconds behind 1,000 pictures.", "Steady for a mix of sizes and steps.", "Rises: larger pictures, smaller batches, or slower GPUs."),
        (22, "Energy of 1,000 pictures", "watth", wh, "{{service}}", _NO_METER, "Energy that GPUs took while they made 1,000 pictures.", "Steady for a mix of sizes and steps.", "Rises: see Energy for each unit of work."),
        (23, "GPUs idle", "percentunit", idle, "idle", _NO_GPU, "Share of GPU time without work.", "20 to 50 %; a reserve for bursts.", "More for days: fewer GPUs, or shared ones."),
    )  # fmt: skip
    return tuple(
        Panel(place=_place(number, title), kind=Kind.STAT, unit=unit, targets=(Target(query, legend),),
              shows=shows, normal=normal, act=act, width=6, height=4, empty=empty, decimals=2)
        for number, title, unit, query, legend, empty, shows, normal, act in stats
    )  # fmt: skip


def _money() -> tuple[Panel, ...]:
    month = f"sum by (currency) (increase({pick(catalog.COST)}[1d])) * 30"
    gpus = f"count(count by (instance, UUID) ({pick(Dcgm.GPU_TEMP)}))"
    workers = f"sum({pick(catalog.WORKERS, state=(WorkerState.READY, WorkerState.BUSY))})"
    lines = (
        Target(f"({gpus} or {workers}) * $gpu_hour * {_MONTH_HOURS}", "dedicated: the GPUs there are"),
        Target(f"{_used()} / $fill * $gpu_hour * {_MONTH_HOURS}", "shared: the time used, at the fill"),
        Target(f"{_used()} * $on_demand_hour * {_MONTH_HOURS}", "on demand: the time used"),
    )  # fmt: skip
    return (
        Panel(place=catalog.SPEND, kind=Kind.LINES, unit="short", empty=_NO_PRICE,
              targets=(Target(month, "{{currency}} in 30 days, at the pace of a day"), Target("vector($budget)", "budget")),
              shows="What 30 days cost at the pace of the last one, and the budget that is typed in above.",
              normal="Below the budget.",
              act="Above: see which service grew; `lightmeter plan` prices sharing and on-demand GPUs."),
        Panel(place=_place(24, "Spend by service"), kind=Kind.LINES, unit="short", stacked=True, empty=_NO_PRICE,
              targets=(Target(f"{rate('service, currency', pick(catalog.COST))} * 3600", "{{service}} {{currency}}"),),
              shows="Price of the GPU seconds of each service, for an hour at this pace.",
              normal="Follows each service's traffic.",
              act="One grows without traffic: larger pictures or retries; see GPU time by use."),
        Panel(place=_place(25, "Dedicated, shared or on demand"), kind=Kind.LINES, unit="short", targets=lines,
              shows="What a month would cost at this pace: the GPUs there are, a share of them, or on-demand GPUs by the second. Type your prices in above.",
              normal="The lowest line is what you have.",
              act="Another line is lower for weeks: `lightmeter plan` replays every request and says whether waits stay within their limits."),
        Panel(place=_place(26, "1,000 pictures over time"), kind=Kind.LINES, unit="short", width=12, empty=_NO_PRICE,
              targets=(Target(_per_images(catalog.COST, "service, currency"), "{{service}} {{currency}}"),),
              shows="Price of the GPU seconds behind 1,000 pictures of each service.",
              normal="Falls under load, when batches grow.",
              act="Rises under load: batches do not form; see Batch sizes."),
        Panel(place=_place(27, "Money idle"), kind=Kind.LINES, unit="short", width=12, empty=_NO_GPU,
              targets=(Target(f"sum by (instance) (1 - ({busy()})) * $gpu_hour", "{{instance}}"),),
              shows="What the GPUs without work cost in an hour, at the price typed in above.",
              normal="As large as the reserve that you chose.",
              act="See Idle GPUs for which; give them back or share them."),
    )  # fmt: skip


def _time() -> tuple[Panel, ...]:
    return (
        Panel(place=catalog.IDLE_SPEND, kind=Kind.LINES, unit="count:GPUs", width=12, decimals=1, empty=_NO_GPU,
              targets=(Target(f"sum by (instance) (1 - ({busy()}))", "{{instance}}"),),
              shows="GPUs without work on each node, as a number of whole ones.",
              normal="The reserve for bursts.",
              act="Idle for a day: find who holds them on GPU fleet, and what sharing saves with `lightmeter plan`."),
        Panel(place=catalog.GPU_TIME, kind=Kind.LINES, unit="count:GPUs", width=12, stacked=True, decimals=2,
              targets=(Target(rate("kind", pick(catalog.GPU_SECONDS)), "{{kind}}"),),
              shows="GPU seconds each second, by use: pictures delivered, pictures that nobody waited for, warm-up.",
              normal="Almost all useful.",
              act="abandoned: clients give up too soon. warmup: cold starts too often."),
    )  # fmt: skip


def _energy() -> tuple[Panel, ...]:
    now = share(rate("service", pick(catalog.ENERGY)), rate("service", pick(catalog.DONE_WORK)))
    return (
        Panel(place=catalog.ENERGY_PER_WORK, kind=Kind.LINES, unit="joule", empty=_NO_METER,
              targets=(Target(now, "{{service}}"), Target(pick(catalog.ENERGY_PER_WORK_MEAN), "{{service}} mean of 6 hours")),
              shows="Joules for each megapixel-forward, which does not depend on the pictures' sizes and steps.",
              normal="Steady for a model and a GPU; lower in larger batches.",
              act="Above last week's: smaller batches, lower clocks, or a neighbour on the GPU."),
        Panel(place=_place(28, "Energy of 1,000 pictures over time"), kind=Kind.LINES, unit="watth", empty=_NO_METER,
              targets=(Target(f"{_per_images(catalog.ENERGY, 'service')} / {_JOULES_PER_WH}", "{{service}}"),),
              shows="Energy that GPUs took while they made 1,000 pictures.",
              normal="Steady for a mix of sizes and steps.",
              act="Rises with the sizes; if sizes are the same, see the panel beside."),
        Panel(place=_place(29, "Power of all GPUs"), kind=Kind.LINES, unit="watt", stacked=True, empty=_NO_GPU,
              targets=(Target(f"sum by (instance) ({watts()})", "{{instance}}"),),
              shows="What the GPUs of each node draw, idle ones too.",
              normal="Follows the work.",
              act="High at night: GPUs that could sleep."),
    )  # fmt: skip
