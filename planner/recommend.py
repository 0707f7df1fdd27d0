"""Which option, how sure, and what would change the answer. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from lightmeter.units import counted, show_duration, show_money, show_ratio
from planner import certainty, doubt
from planner.calibration import Calibration
from planner.certainty import DAY, Draws, Estimate
from planner.demand import Demand
from planner.doubt import Doubt
from planner.inputs import Case
from planner.options import Option, OptionKind, Terms, cost, monthly, p95


MIN_SPAN_SECONDS = DAY
"""Less history than one daily cycle says nothing about a month."""
MIN_REQUESTS = certainty.MIN_JUDGED
SAME_COST = 0.02
"""Options within 2 % of the cheapest cost the same, for all that a month's history can tell."""


@dataclass(frozen=True)
class Flip:
    """An input and the value at which the advice would change."""

    what: str
    at: float


@dataclass(frozen=True)
class Recommendation:
    """The advice: the index of the option, or None where nothing can be recommended.

    ``saving_ratio`` is against dedicated GPUs, with its interval; both are None without advice.
    """

    option: int | None
    reason: str
    saving_ratio: float | None = None
    saving_ci: tuple[float, float] | None = None
    doubt: Doubt | None = None
    """What to measure: the input that keeps a cheaper option from being recommended."""
    flips_when: tuple[Flip, ...] = ()


def recommend(
    options: Sequence[Option], draws: Draws, terms: Terms, demand: Demand
) -> Recommendation:
    """Recommend the cheapest option that keeps the objective, if it is surely the cheapest.

    Of options that cost the same to within `SAME_COST`, the one listed first, the simpler, stands for
    them. Surely: the 95 % interval of its paired cost difference to every other one excludes zero.
    """
    case = _Case(tuple(options), demand, draws, terms)
    if demand.span_seconds < MIN_SPAN_SECONDS or len(demand.arrivals) < MIN_REQUESTS:
        return Recommendation(None, case.too_little(demand))
    open_ = case.doubted
    known = None if open_ is None else open_[1]
    if not case.meeting:
        return Recommendation(None, case.none_meets() + case.measure(), doubt=known)
    best = case.simplest()
    rival = case.unsure(best)
    if rival is not None:
        return Recommendation(None, case.too_close(best, rival) + case.measure(best), doubt=known)
    return Recommendation(
        option=best,
        reason=case.reason(best) + case.measure(best),
        doubt=known,
        saving_ratio=case.saving(best),
        saving_ci=case.saving_ci(best),
        flips_when=case.price_flips(best),
    )


def withheld(advice: Recommendation, held: Calibration) -> Recommendation:
    """Take the advice back where the replay is seen not to tell the present; else say what it rests on."""
    if advice.option is None:
        return advice
    if not held.holds:
        return Recommendation(None, f"No advice: {held.reason}. Until the replay tells the waits that were, it tells none that will be; look for what else holds the GPUs, or state --held-gpus.")  # fmt: skip
    return advice


def price_breaks(
    options: Sequence[Option], draws: Draws, terms: Terms
) -> list[dict[str, str | float]]:
    """At what ratio of their prices two options cost the same, for each pair; the dearer first.

    Exact, as cost is hours times price (p_flip = (F_B - F_A) / (h_A - h_B) without fixed costs).
    """
    months = [(option.title, option.monthly_hours(draws, terms).value) for option in options]
    return [
        {"dearer": name, "cheaper": other, "at": round(hours / fewer, 6)}
        for name, hours in months
        for other, fewer in months
        if hours > fewer > 0
    ]


@dataclass(frozen=True)
class _Case:
    """The options side by side, in GPU-hours of a month; one price makes hours and money the same."""

    options: tuple[Option, ...]
    demand: Demand
    draws: Draws
    terms: Terms

    @cached_property
    def months(self) -> list[Estimate]:
        return [option.monthly_hours(self.draws, self.terms) for option in self.options]

    @cached_property
    def keeping(self) -> list[int]:
        """Options that keep the objective, cheapest first."""
        keeping = [index for index, option in enumerate(self.options) if option.meets_slo]
        return sorted(keeping, key=lambda index: (self.hours(index), index))

    @cached_property
    def meeting(self) -> list[int]:
        """Those of them that keep it whatever the inputs are that nobody measured."""
        return [index for index in self.keeping if doubt.bears(self.options[index], self.inputs)]

    @property
    def inputs(self) -> Case:
        return self.demand, self.draws, self.terms

    @cached_property
    def doubted(self) -> tuple[int, Doubt] | None:
        """Return the cheapest option that only an input keeps from being recommended, if there is one."""
        for index in self.keeping:
            if index in self.meeting:
                return None
            found = doubt.doubt(self.options[index], self.inputs)
            if found is not None:
                return index, found
        return None

    @cached_property
    def base(self) -> int:
        kinds = [option.kind for option in self.options]
        return kinds.index(OptionKind.DEDICATED)

    def hours(self, index: int) -> float:
        return self.months[index].value

    def difference(self, best: int, rival: int) -> Estimate:
        """How many GPU-hours of a month the rival costs more, paired by day."""
        billed = self.options[rival].billed - self.options[best].billed
        return monthly(billed, self.draws, self.terms)

    def simplest(self) -> int:
        """Return the simplest of the options that cost no more than the cheapest, give or take."""
        limit = self.hours(self.meeting[0]) * (1 + SAME_COST)
        return min(index for index in self.meeting if self.hours(index) <= limit)

    def unsure(self, best: int) -> int | None:
        """Return the cheapest option that differs from the best and is not surely dearer."""
        limit = self.hours(self.meeting[0]) * (1 + SAME_COST)
        dearer = (index for index in self.meeting if self.hours(index) > limit)
        return next((index for index in dearer if self.difference(best, index).low <= 0), None)

    def saving(self, best: int) -> float:
        return 1 - self.hours(best) / self.hours(self.base)

    def saving_ci(self, best: int) -> tuple[float, float]:
        costs = certainty.ratio(
            self.draws, self.options[best].billed, self.options[self.base].billed
        )
        return 1 - costs.high, min(1.0, 1 - costs.low)

    def price_flips(self, best: int) -> tuple[Flip, ...]:
        """Price ratios at which another option costs the same; exact, as cost is hours times price."""
        return tuple(
            Flip(
                f"price of a GPU-hour, {self.name(best)} over {self.name(index)}; above it the latter is cheaper",
                round(self.hours(index) / self.hours(best), 6),
            )
            for index in self.meeting
            if self.hours(index) > self.hours(best)
        )

    def money(self, index: int) -> str:
        return show_money(cost(self.hours(index), self.terms.price), self.terms.price.currency)

    def gpus(self, index: int) -> str:
        option = self.options[index]
        count = counted(option.gpus, "GPU")
        return (
            f"at most {count}"
            if option.kind in {OptionKind.ON_DEMAND, OptionKind.HYBRID}
            else count
        )

    def gpu(self, index: int) -> str:
        """GPUs that an option is of."""
        known = (self.terms.price, *self.terms.others, *(one.price for one in self.terms.vendors))
        gpus = {one.sku: one.gpu for one in known}
        used = (
            gpus.get(place.sku, self.terms.price.gpu) for place in self.options[index].placement
        )
        return " and ".join(dict.fromkeys(used))

    def name(self, index: int) -> str:
        return self.options[index].title

    def reason(self, best: int) -> str:
        wait, slo = p95(self.options[best].asked_waits), self.terms.slo
        text = (
            f"Use {self.name(best)} ({self.gpus(best)}, {self.gpu(best)}) for {self.money(best)} a month: "
            f"95 % of requests start within {show_duration(wait)} "
            f"(objective: {show_ratio(slo.target)} within {show_duration(slo.wait_seconds)})"
        )
        base = self.options[self.base]
        if self.saving(best) <= 0:
            return f"{text}; no other option that keeps it is cheaper."
        if base.gpus > self.terms.max_gpus:
            return f"{text}; {counted(base.gpus, 'dedicated GPU')} would cost {self.money(self.base)} and be more than plan.max_gpus allows ({self.terms.max_gpus})."
        if not base.meets_slo:
            return f"{text}; dedicated GPUs, at most {base.gpus}, would miss it."
        return (
            f"{text}; {counted(base.gpus, 'dedicated GPU')} would cost {self.money(self.base)}, "
            f"so it saves {show_ratio(self.saving(best))}."
        )

    def measure(self, best: int | None = None) -> str:
        """Say what a measurement might save; nothing where no input is in the way."""
        if self.doubted is None:
            return ""
        index, found = self.doubted
        does = "would keep it"
        if best is not None:
            less = self.hours(best) - self.hours(index)
            does = f"would save {show_money(cost(less, self.terms.price), self.terms.price.currency)} a month more"
        unit = "" if found.unit == "ratio" else f" {found.unit}"
        name = self.name(index)
        return (
            f" {name[0].upper()}{name[1:]} ({self.gpus(index)}) {does} if the {found.what} is at most {found.upto:.3g}{unit}, "
            f"which nobody measured ({found.assumed:.3g} is taken): measure it and set plan.{found.key}."
        )

    def too_close(self, best: int, rival: int) -> str:
        return (
            f"Too close to call between {self.name(best)} ({self.money(best)} a month) and {self.name(rival)} "
            f"({self.money(rival)} a month): the 95 % interval of their difference holds zero. {self.decided_by(best, rival)}"
        )

    def decided_by(self, best: int, rival: int) -> str:
        """Say what data would decide, from the spread of the difference between days."""
        days = certainty.days_to_decide(self.draws, self.difference(best, rival))
        if days is None:
            return "No amount of history is likely to tell them apart: take the simpler."
        held = float(self.draws.lengths.sum()) / DAY
        more = max(1, math.ceil(days - held))
        return f"If the days to come are like these, {counted(more, 'more day')} of history would decide."

    def none_meets(self) -> str:
        closest = max(range(len(self.options)), key=lambda index: self.options[index].attainment)
        slo = self.terms.slo
        return (
            f"No option surely keeps the objective, {show_ratio(slo.target)} of requests within {show_duration(slo.wait_seconds)}; "
            f"closest is {self.name(closest)} with {show_ratio(self.options[closest].attainment)}. "
            "Allow a longer wait, more GPUs (--max-gpus), or shorten starts and swaps."
        )

    def too_little(self, demand: Demand) -> str:
        if demand.span_seconds < MIN_SPAN_SECONDS:
            text = f"No advice yet: {show_duration(demand.span_seconds)} of history is less than the day that a month is judged by."
        else:
            text = f"No advice yet: {counted(len(demand.arrivals), 'request')} in {show_duration(demand.span_seconds)} are fewer than the {MIN_REQUESTS} that waits are judged by."
        if not self.meeting:
            return f"{text} In it, no option surely kept the objective."
        index = self.simplest()
        return f"{text} Were every hour like it, {self.name(index)} ({self.gpus(index)}, {self.gpu(index)}) would do for {self.money(index)} a month."
