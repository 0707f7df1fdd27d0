"""The ways to serve the demand, each sized by replay and priced. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from lightmeter import replay
from lightmeter.replay import Floats
from lightmeter.units import SECONDS_PER_HOUR
from planner import certainty
from planner.certainty import Draws
from planner.demand import Demand, busy_between
from planner.prices import Price
from planner.slo import Slo


class OptionKind(StrEnum):
    """The ways to hold GPUs."""

    DEDICATED = "dedicated"
    SHARED = "shared"
    ON_DEMAND = "on_demand"


IDLE_TIMEOUTS = (60.0, 300.0, 900.0, 3600.0, 14_400.0)
"""On-demand idle timeouts that are tried, seconds; the cheapest that keeps the objective is kept."""


@dataclass(frozen=True)
class Terms:
    """Everything outside the history that an option depends on. Times in seconds."""

    slo: Slo
    price: Price
    month_hours: float
    start_seconds: float
    swap_seconds: float
    max_gpus: int


@dataclass(frozen=True)
class Placement:
    """Some services on some GPUs, and the wait they get there."""

    services: tuple[str, ...]
    gpus: int
    wait_p95_seconds: float


@dataclass(frozen=True)
class Option:
    """One way to serve, replayed on every request of the history.

    ``waits`` (n,) is each request's wait in seconds; ``billed`` (blocks,) the GPU-hours that each
    block of the history is billed, for the bootstrap; ``cold_starts`` counts model swaps and starts
    in the window. ``idle_seconds`` is the timeout chosen, for on-demand alone. The last three say
    how the objective is kept.
    """

    kind: OptionKind
    gpus: int
    placement: tuple[Placement, ...]
    waits: Floats
    billed: Floats
    cold_starts: int = 0
    idle_seconds: float | None = None
    meets_slo: bool = False
    attainment: float = 0.0
    attainment_ci: tuple[float, float] = (0.0, 0.0)

    def monthly_hours(self, draws: Draws, terms: Terms) -> tuple[float, Floats]:
        """GPU-hours of a month: as observed, and in each resample (resamples,)."""
        hours = draws.lengths / SECONDS_PER_HOUR
        observed = float(self.billed.sum() / hours.sum())
        resampled = (draws.weights @ self.billed) / (draws.weights @ hours)
        # rounded, so that what is equal in arithmetic is equal in floats too
        return round(observed * terms.month_hours, 6), np.round(resampled * terms.month_hours, 6)


def dedicated(demand: Demand, draws: Draws, terms: Terms) -> Option:
    """Give each service as many GPUs of its own as its load and its objective need.

    Services too small to be judged alone get more where waits are worst, until they keep the
    objective together.
    """
    load = np.bincount(demand.owner, weights=demand.seconds) / demand.span_seconds
    gpus = np.clip(np.ceil(load), 1, terms.max_gpus).astype(np.int64)
    waits = np.empty(len(demand.arrivals))
    for group in certainty.groups(demand):
        mask = np.isin(demand.owner, group)
        for service in group:
            waits[demand.of(service)] = _alone(demand, service, int(gpus[service]))
        while not _kept(draws, mask, waits, terms.slo) and gpus.sum() < terms.max_gpus:
            late = np.bincount(demand.owner[mask & ~terms.slo.within(waits)], minlength=len(gpus))
            worst = int(np.argmax(late))
            gpus[worst] += 1
            waits[demand.of(worst)] = _alone(demand, worst, int(gpus[worst]))
    placement = tuple(
        Placement((name,), int(gpus[index]), p95(waits[demand.of(index)]))
        for index, name in enumerate(demand.services)
    )
    total = int(gpus.sum())
    billed = total * draws.lengths / SECONDS_PER_HOUR
    option = Option(OptionKind.DEDICATED, total, placement, waits=waits, billed=billed)
    return _judged(option, demand, draws, terms)


def shared(demand: Demand, draws: Draws, terms: Terms) -> Option:
    """Let one pool serve everybody, with the fewest GPUs that keep the objective."""

    def run(gpus: int) -> replay.Pool:
        return replay.pool(
            demand.arrivals, demand.seconds, demand.owner, servers=gpus, swap=terms.swap_seconds
        )

    def keeps(gpus: int) -> bool:
        return keeps_objective(demand, draws, run(gpus).waits, terms.slo)

    gpus = fewest(keeps, max(1, int(np.ceil(demand.busy_gpus))), terms.max_gpus)
    found = run(gpus)
    option = Option(
        OptionKind.SHARED,
        gpus,
        (Placement(demand.services, gpus, p95(found.waits)),),
        waits=found.waits,
        billed=gpus * draws.lengths / SECONDS_PER_HOUR,
        cold_starts=int(found.swapped.sum()),
    )
    return _judged(option, demand, draws, terms)


def on_demand(demand: Demand, draws: Draws, terms: Terms) -> Option:
    """Start GPUs for each service when it is asked for; the best of `IDLE_TIMEOUTS`.

    The best is the cheapest that keeps the objective, or else the one that comes closest.
    """
    options = [_on_demand(demand, draws, terms, idle) for idle in IDLE_TIMEOUTS]
    meeting = [option for option in options if option.meets_slo]
    if meeting:
        return min(meeting, key=lambda option: float(option.billed.sum()))
    return max(options, key=lambda option: option.attainment)


def fewest(keeps: Callable[[int], bool], low: int, most: int) -> int:
    """Smallest number in [low, most] that keeps; ``most`` where none does. Doubles, then halves."""
    high = low = min(low, most)
    while high < most and not keeps(high):
        low, high = high + 1, min(high * 2, most)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if keeps(middle) else (middle + 1, high)
    return low


def quantile(waits: Floats, q: float) -> float:
    """Smallest wait that at least a share ``q`` of the requests does not exceed."""
    return float(np.quantile(waits, q, method="inverted_cdf"))


def p95(waits: Floats) -> float:
    """95th percentile, the one that the objective is about."""
    return quantile(waits, 0.95)


def round_up(on_seconds: Floats, price: Price) -> Floats:
    """Billed seconds of GPUs that were on for these seconds: minimum, then granularity."""
    grain = price.granularity_seconds
    whole: Floats = np.ceil(np.maximum(on_seconds, price.minimum_seconds) / grain - 1e-9) * grain
    return whole


def cost(hours: float, price: Price) -> Decimal:
    """Price of GPU-hours."""
    return Decimal(str(hours)) * price.price_per_gpu_hour


def keeps_objective(demand: Demand, draws: Draws, waits: Floats, slo: Slo) -> bool:
    """Tell whether everyone together, and each group that can be judged, surely keeps it."""
    everyone = np.ones(len(waits), dtype=np.bool_)
    masks = [everyone, *(np.isin(demand.owner, group) for group in certainty.groups(demand))]
    return all(_kept(draws, mask, waits, slo) for mask in masks)


def _alone(demand: Demand, service: int, gpus: int) -> Floats:
    mask = demand.of(service)
    return replay.waits(demand.arrivals[mask], demand.seconds[mask], gpus)


def _kept(draws: Draws, mask: npt.NDArray[np.bool_], waits: Floats, slo: Slo) -> bool:
    return certainty.lower_bound(draws, mask, slo.within(waits)) >= slo.target


def _judged(option: Option, demand: Demand, draws: Draws, terms: Terms) -> Option:
    """Return the option with what its waits say about the objective."""
    everyone = np.ones(len(option.waits), dtype=np.bool_)
    within = terms.slo.within(option.waits)
    kept = keeps_objective(demand, draws, option.waits, terms.slo)
    return dataclasses.replace(
        option,
        meets_slo=kept and option.gpus <= terms.max_gpus,
        attainment=float(within.mean()),
        attainment_ci=certainty.interval(certainty.shares(draws, everyone, within)),
    )


def elastic_waits(
    demand: Demand, terms: Terms, *, start: float, idle: float
) -> tuple[Floats, list[replay.Elastic]]:
    """Replay every service on GPUs of its own that come and go; waits (n,), then by service."""
    waits = np.empty(len(demand.arrivals))
    lives = []
    for index in range(len(demand.services)):
        mask = demand.of(index)
        arrivals, seconds = demand.arrivals[mask], demand.seconds[mask]
        lives.append(
            replay.elastic(arrivals, seconds, start=start, idle=idle, limit=terms.max_gpus)
        )
        waits[mask] = lives[-1].waits
    return waits, lives


def _on_demand(demand: Demand, draws: Draws, terms: Terms, idle: float) -> Option:
    waits, lives = elastic_waits(demand, terms, start=terms.start_seconds, idle=idle)
    started = np.concatenate([life.started for life in lives])
    stopped = np.minimum(np.concatenate([life.stopped for life in lives]), demand.span_seconds)
    placement = tuple(
        Placement((name,), life.peak, p95(life.waits))
        for name, life in zip(demand.services, lives, strict=True)
    )
    option = Option(
        OptionKind.ON_DEMAND,
        replay.peak(started, stopped),
        placement,
        waits=waits,
        billed=_billed(started, stopped, draws, terms.price) / SECONDS_PER_HOUR,
        cold_starts=len(started),
        idle_seconds=idle,
    )
    return _judged(option, demand, draws, terms)


def _billed(started: Floats, stopped: Floats, draws: Draws, price: Price) -> Floats:
    """Billed seconds in each block: time on where it falls, rounding where the GPU was started.

    A GPU that is still on when the history ends has not been rounded up yet.
    """
    on = stopped - started
    rounding = np.where(stopped < draws.edges[-1], round_up(on, price) - on, 0.0)
    block = np.clip(
        np.searchsorted(draws.edges, started, side="right") - 1, 0, len(draws.edges) - 2
    )
    extra = np.bincount(block, weights=rounding, minlength=len(draws.edges) - 1)
    return busy_between(started, stopped, draws.edges) + extra
