"""What costs more than it should: idle and abandoned GPU time, energy, the budget. Pure."""

from __future__ import annotations

from alerts.causes_server import shop
from alerts.objectives import Money, Slo
from alerts.promql import grown, series, share
from alerts.rule import Alert, Group, Record, Rule, Severity, Trial
from lightmeter import catalog
from lightmeter.catalog import Dcgm, GpuTime


_SHOP = {"service": "shop"}
_NODE = {"instance": "node1:9400"}
_IDLE_HOURS = 12
"""GPU hours without work in a day, from which on somebody should know, where no price is given."""
_IDLE_MONEY = 24
"""The same in the currency of the price: a GPU at a unit an hour, idle for a day."""
_MONTH_DAYS = 30


def group(slo: Slo) -> tuple[Group, tuple[str, ...]]:
    """Make the rules on money, GPU time and energy, and say what was left out."""
    rules: list[Rule] = [_abandoned(slo.by), *_energy(slo.by), _idle(slo.money)]
    notes: tuple[str, ...] = ()
    if slo.money.monthly_budget is None:
        notes = ("LightmeterSpendOverBudget needs money.monthly_budget in slo.toml",)
    else:
        rules.append(_budget(slo.money.monthly_budget, slo.money))
    return Group("lightmeter-cost", "cost", tuple(rules)), notes


def _abandoned(by: str) -> Alert:
    gone = grown(by, series(catalog.GPU_SECONDS, kind=GpuTime.ABANDONED), "1h")
    spent = grown(by, series(catalog.GPU_SECONDS, kind=(GpuTime.ABANDONED, GpuTime.USEFUL)), "1h")
    return Alert(
        name="LightmeterAbandonedGpuTime",
        severity=Severity.TICKET,
        expr=f"{share(gone, spent)}\n> 0.2\nand\n{gone} > 60",
        hold="15m",
        summary="{{ $labels.service }}: {{ $value | humanizePercentage }} of the GPU time of the last hour went into pictures that nobody waited for.",
        meaning="Clients give up before their picture is ready, or ask again while the first is being made. What they left is paid for.",
        first="Compare the clients' timeout with the p95 of the request duration; a client that gives up sooner will never be served.",
        panel=catalog.GPU_TIME,
        labels={"component": "cost"},
        trials=(Trial(
            bad={shop(catalog.GPU_SECONDS, kind=GpuTime.ABANDONED): "0+15x90 1350x120", shop(catalog.GPU_SECONDS, kind=GpuTime.USEFUL): "0+45x210"},
            calm={shop(catalog.GPU_SECONDS, kind=GpuTime.ABANDONED): "0+11x90", shop(catalog.GPU_SECONDS, kind=GpuTime.USEFUL): "0+45x90"},
            fires="80m", over="180m", labels=_SHOP,
            says="shop: 25% of the GPU time of the last hour went into pictures that nobody waited for.",
        ),),
    )  # fmt: skip


def _energy(by: str) -> tuple[Record, Alert]:
    joules, work = (
        grown(by, series(metric), "6h") for metric in (catalog.ENERGY, catalog.DONE_WORK)
    )
    now = catalog.ENERGY_PER_WORK_MEAN
    alert = Alert(
        name="LightmeterEnergyDrift",
        severity=Severity.TICKET,
        expr=f"{now} / (avg_over_time({now}[7d:30m] offset 6h) > 0)\n> 1.3",
        hold="30m",
        summary="{{ $labels.service }}: a unit of work took {{ $value | humanizePercentage }} of the energy that it took in the week before.",
        meaning="The same pictures cost more energy and GPU time: smaller batches, lower clocks, a neighbour on the GPU, or a new model version.",
        first="Compare batch sizes and clocks with last week's; the energy of a GPU that waits counts as well.",
        panel=catalog.ENERGY_PER_WORK,
        labels={"component": "cost"},
        trials=(Trial(
            bad={shop(catalog.ENERGY): "0+100x600 60150+150x499 135100+100x900", shop(catalog.DONE_WORK): "0+1x2010"},
            calm={shop(catalog.ENERGY): "0+100x600 60000+128x900", shop(catalog.DONE_WORK): "0+1x1500"},
            fires="960m", over="1700m", labels=_SHOP, every="10m",
            says="shop: a unit of work took 150% of the energy that it took in the week before.",
        ),),
    )  # fmt: skip
    return Record(now, share(joules, work)), alert


def _idle(money: Money) -> Alert:
    busy = series(catalog.GPU_BUSY)
    ours = f"1 - rate({busy}[1d]) / (rate({series(catalog.GPU_SAMPLED)}[1d]) > 0)"
    theirs = f"1 - avg_over_time({series(Dcgm.GPU_UTIL.value)}[1d]) / 100"
    share_idle = f"(\n{ours}\nor on (UUID)\n{theirs}\n)"
    hours = f"sum by (instance) ({share_idle}) * 24"
    price, limit = money.gpu_hour, _IDLE_MONEY if money.gpu_hour else _IDLE_HOURS
    value, unit = (f"{hours} * {price:g}", money.currency) if price else (hours, "GPU hours")
    return Alert(
        name="LightmeterIdleGpus",
        severity=Severity.TICKET,
        expr=f"{value}\n> {limit}",
        hold="1h",
        summary=f'{{{{ $labels.instance }}}}: GPUs without work cost {{{{ $value | printf "%.0f" }}}} {unit} in the last day.',
        meaning="GPUs are held and do nothing. They are a warm reserve, or they are forgotten.",
        first="See which services hold them, and what sharing or sleeping would save: `lightmeter plan`.",
        panel=catalog.IDLE_SPEND,
        labels={"component": "cost"},
        trials=(Trial(
            bad={series(catalog.GPU_BUSY, gpu="0", UUID="GPU-1", **_NODE): "0x120 0+60x1700", series(catalog.GPU_SAMPLED, gpu="0", UUID="GPU-1", **_NODE): "0+60x1820"},
            calm={series(catalog.GPU_BUSY, gpu="0", UUID="GPU-1", **_NODE): "0+31x300" if price is None else "0+60x300", series(catalog.GPU_SAMPLED, gpu="0", UUID="GPU-1", **_NODE): "0+60x300"},
            fires="110m", over="1800m", labels=_NODE, every="10m",
            says=f"node1:9400: GPUs without work cost {24 * (price or 1):.0f} {unit} in the last day.",
        ),),
    )  # fmt: skip


def _budget(budget: float, money: Money) -> Alert:
    spent = f"sum by (service, currency) (increase({series(catalog.COST, currency=money.currency)}[1d]))"  # fmt: skip
    day = budget / _MONTH_DAYS
    return Alert(
        name="LightmeterSpendOverBudget",
        severity=Severity.TICKET,
        expr=f"sum by (currency) ({spent}) * {_MONTH_DAYS}\n> {budget:g}",
        hold="1h",
        summary=f"At the pace of the last day GPUs cost {{{{ $value | humanize }}}} {{{{ $labels.currency }}}} in 30 days; {budget:g} is the budget.",
        meaning="If nothing changes, the budget is gone before the month is.",
        first="See on the panel which service grew; `lightmeter plan` prices what sharing or on-demand GPUs would cost instead.",
        panel=catalog.SPEND,
        labels={"component": "cost"},
        trials=(Trial(
            bad={shop(catalog.COST, currency=money.currency): f"0+{day / 720:.10g}x1500 {day / 720 * 1500:.10g}x3000"},
            calm={shop(catalog.COST, currency=money.currency): f"0+{day / 1450:.10g}x4500"},
            fires="1500m", over="3500m", labels={"currency": money.currency}, every="10m",
            says=f"At the pace of the last day GPUs cost {2 * budget / 1000:g}k {money.currency} in 30 days; {budget:g} is the budget.",
        ),),
    )  # fmt: skip
