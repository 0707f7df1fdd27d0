"""Which option, how sure, and what would change the answer. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from lightmeter.replay import Floats
from lightmeter.units import counted, show_duration, show_money, show_ratio
from planner import certainty
from planner.certainty import DAY, Draws
from planner.demand import Demand
from planner.options import Option, OptionKind, Terms, cost, p95


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
    flips_when: tuple[Flip, ...] = ()


def recommend(
    options: Sequence[Option], draws: Draws, terms: Terms, demand: Demand
) -> Recommendation:
    """Recommend the cheapest option that keeps the objective, if it is surely the cheapest.

    Of options that cost the same to within `SAME_COST`, the one listed first, the simpler, stands for
    them. Surely: the 95 % interval of its paired cost difference to every other one excludes zero.
    """
    case = _Case(tuple(options), draws, terms)
    if demand.span_seconds < MIN_SPAN_SECONDS or len(demand.arrivals) < MIN_REQUESTS:
        return Recommendation(None, case.too_little(demand))
    if not case.meeting:
        return Recommendation(None, case.none_meets())
    best = case.simplest()
    rival = case.unsure(best)
    if rival is not None:
        return Recommendation(None, case.too_close(best, rival))
    return Recommendation(
        option=best,
        reason=case.reason(best),
        saving_ratio=case.saving(best),
        saving_ci=certainty.interval(1 - case.resampled(best) / case.resampled(case.base)),
        flips_when=case.price_flips(best),
    )


@dataclass(frozen=True)
class _Case:
    """The options side by side, in GPU-hours of a month; one price makes hours and money the same."""

    options: tuple[Option, ...]
    draws: Draws
    terms: Terms

    @cached_property
    def months(self) -> list[tuple[float, Floats]]:
        return [option.monthly_hours(self.draws, self.terms) for option in self.options]

    @cached_property
    def meeting(self) -> list[int]:
        """Options that keep the objective, cheapest first."""
        keeping = [index for index, option in enumerate(self.options) if option.meets_slo]
        return sorted(keeping, key=lambda index: (self.hours(index), index))

    @cached_property
    def base(self) -> int:
        kinds = [option.kind for option in self.options]
        return kinds.index(OptionKind.DEDICATED)

    def hours(self, index: int) -> float:
        return self.months[index][0]

    def resampled(self, index: int) -> Floats:
        return self.months[index][1]

    def simplest(self) -> int:
        """Return the simplest of the options that cost no more than the cheapest, give or take."""
        limit = self.hours(self.meeting[0]) * (1 + SAME_COST)
        return min(index for index in self.meeting if self.hours(index) <= limit)

    def unsure(self, best: int) -> int | None:
        """Return the cheapest option that differs from the best and is not surely dearer."""
        limit = self.hours(self.meeting[0]) * (1 + SAME_COST)
        dearer = (index for index in self.meeting if self.hours(index) > limit)
        differences = {index: self.resampled(index) - self.resampled(best) for index in dearer}
        close = (
            index
            for index, difference in differences.items()
            if certainty.interval(difference)[0] <= 0
        )
        return next(close, None)

    def saving(self, best: int) -> float:
        return 1 - self.hours(best) / self.hours(self.base)

    def price_flips(self, best: int) -> tuple[Flip, ...]:
        """Price ratios at which another option costs the same; exact, as cost is hours times price."""
        return tuple(
            Flip(
                f"price of a GPU-hour, {self.options[best].kind} over {self.options[index].kind}; above it the latter is cheaper",
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

    def name(self, index: int) -> str:
        return self.options[index].title

    def reason(self, best: int) -> str:
        wait, slo = p95(self.options[best].asked_waits), self.terms.slo
        text = (
            f"Use {self.name(best)} ({self.gpus(best)}, {self.terms.price.gpu}) for {self.money(best)} a month: "
            f"95 % of requests start within {show_duration(wait)} "
            f"(objective: {show_ratio(slo.target)} within {show_duration(slo.wait_seconds)})"
        )
        base = self.options[self.base]
        if self.saving(best) <= 0:
            return f"{text}; no other option that keeps it is cheaper."
        if not base.meets_slo:
            return f"{text}; dedicated GPUs, at most {base.gpus}, would miss it."
        return (
            f"{text}; {counted(base.gpus, 'dedicated GPU')} would cost {self.money(self.base)}, "
            f"so it saves {show_ratio(self.saving(best))}."
        )

    def too_close(self, best: int, rival: int) -> str:
        return (
            f"Too close to call between {self.name(best)} ({self.money(best)} a month) and {self.name(rival)} "
            f"({self.money(rival)} a month): the 95 % interval of their difference holds zero; more days of history would decide."
        )

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
        return f"{text} Were every hour like it, {self.name(index)} ({self.gpus(index)}, {self.terms.price.gpu}) would do for {self.money(index)} a month."
