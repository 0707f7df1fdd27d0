"""Some GPUs rented, the rest started for the load: for each service the cheapest mix. Pure.

How many to rent begins at the newsvendor's quantile: the smallest R such that more than R GPUs are
needed for at most a share r/p of the time, r and p being what a rented and a started GPU-hour cost
(Arrow, Harris and Marschak, Econometrica 19 (1951) 250). Starts and objectives move the optimum, so
replay decides from there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lightmeter import replay
from lightmeter.replay import Floats
from lightmeter.units import SECONDS_PER_HOUR
from planner.certainty import MIN_JUDGED, Draws
from planner.demand import Demand
from planner.options.base import Option, OptionKind, Placement, Terms, judged, kept, p95
from planner.options.elastic import IDLE_TIMEOUTS, billed


MOST_STEPS = 8
"""How far the search goes from the newsvendor's number of rented GPUs."""


@dataclass(frozen=True)
class Mix:
    """A service's rented GPUs and idle timeout, what came of it, and its cost in GPU-hours."""

    reserved: int
    idle: float
    found: replay.Elastic
    bill: Floats
    keeps: bool
    late: int
    """Requests that the objective is about and that wait too long."""

    def rank(self, rent: float) -> tuple[bool, float]:
        """Order mixes: those that keep the objective by cost, before the others by who is late."""
        cost = float(self.bill.sum()) + self.reserved * rent
        return (False, cost) if self.keeps else (True, float(self.late))


def newsvendor(needed: Floats, rented_price: float, started_price: float) -> int:
    """Smallest number that is exceeded for at most a share rented/started of the time.

    ``needed`` holds the GPUs busy, at instants evenly spread.
    """
    ratio = min(1.0, rented_price / started_price)
    ordered = np.sort(np.ceil(needed))
    above = len(ordered) - np.searchsorted(ordered, np.arange(int(ordered[-1]) + 1), side="right")
    return int(np.flatnonzero(above <= ratio * len(ordered) + 1e-9)[0])


def hybrid(demand: Demand, draws: Draws, terms: Terms) -> list[Option]:
    """Rent a base for each service that is worth it, and start GPUs for the rest."""
    mixes = [_best(demand, draws, terms, service) for service in range(len(demand.services))]
    reserved = np.array([mix.reserved for mix in mixes])
    if not reserved.any() or not any(len(mix.found.started) for mix in mixes):
        return []  # all started, or all rented: another option's case
    waits = np.empty(len(demand.arrivals))
    for service, mix in enumerate(mixes):
        waits[demand.rows(service)] = mix.found.waits
    rented = int(reserved.sum()) * draws.lengths / SECONDS_PER_HOUR
    bills = np.sum([mix.bill for mix in mixes], axis=0)
    started = np.concatenate([mix.found.started for mix in mixes])
    stopped = np.minimum(np.concatenate([mix.found.stopped for mix in mixes]), demand.span_seconds)
    option = Option(
        OptionKind.HYBRID,
        int(reserved.sum()) + replay.peak(started, stopped),
        tuple(
            Placement((name,), mix.reserved + mix.found.peak, p95(mix.found.waits))
            for name, mix in zip(demand.services, mixes, strict=True)
        ),
        waits=waits,
        billed=rented * (1 - terms.discount) + bills,
        held=rented + bills,
        cold_starts=len(started),
        idle_seconds=float(np.median([mix.idle for mix in mixes])),
        facts=_facts(demand, mixes, terms),
        again=lambda other, terms: _again(other, terms, mixes),
    )
    return [judged(option, demand, draws, terms)]


def _facts(
    demand: Demand, mixes: list[Mix], terms: Terms
) -> tuple[tuple[str, float | str, str], ...]:
    rented = [
        f"{name} {mix.reserved}"
        for name, mix in zip(demand.services, mixes, strict=True)
        if mix.reserved
    ]
    more = "" if len(rented) <= 10 else f" and {len(rented) - 10} more"  # noqa: PLR2004  (as many as a line holds)
    return (
        ("GPUs rented around the clock", ", ".join(rented[:10]) + more, "chosen by replay"),
        ("share off the price of a rented GPU", terms.discount, "setting plan.discount"),
    )


def _replay(demand: Demand, terms: Terms, service: int, size: tuple[int, float]) -> replay.Elastic:
    rows = demand.rows(service)
    return replay.elastic(
        demand.arrivals[rows],
        demand.seconds[rows],
        start=terms.start_of(service),
        idle=size[1],
        limit=terms.max_gpus,
        reserved=size[0],
        ranks=demand.ranks_of(rows),
    )


def _again(demand: Demand, terms: Terms, mixes: list[Mix]) -> Floats:
    waits = np.empty(len(demand.arrivals))
    for service, mix in enumerate(mixes):
        found = _replay(demand, terms, service, (mix.reserved, mix.idle))
        waits[demand.rows(service)] = found.waits
    return waits


def _mix(  # noqa: PLR0917  (the case, then which service at which size)
    demand: Demand, draws: Draws, terms: Terms, service: int, size: tuple[int, float]
) -> Mix:
    found = _replay(demand, terms, service, size)
    stopped = np.minimum(found.stopped, demand.span_seconds)
    rows = demand.rows(service)
    within = terms.slo.within_at(found.waits, rows)
    asked = demand.judged[rows]
    if len(rows) < MIN_JUDGED:  # too few for an interval: half as many late as allowed
        keeps = bool((asked & ~within).sum() <= (1 - terms.slo.target) / 2 * asked.sum())
    else:
        keeps = kept(draws, rows[asked], within[asked], terms.slo.target)
    bill = billed(found.started, stopped, draws, terms.price) / SECONDS_PER_HOUR
    return Mix(size[0], size[1], found, bill, keeps, int((asked & ~within).sum()))


def _best(demand: Demand, draws: Draws, terms: Terms, service: int) -> Mix:
    """Climb from the newsvendor's number to the cheapest that keeps the service's objective."""
    rent = (1 - terms.discount) * demand.span_seconds / SECONDS_PER_HOUR

    def at(reserved: int) -> Mix:
        mixes = (_mix(demand, draws, terms, service, (reserved, idle)) for idle in IDLE_TIMEOUTS)
        return min(mixes, key=lambda mix: mix.rank(rent))

    if len(demand.rows(service)) < MIN_JUDGED:  # too few to search for: wait, keep long, or rent
        sizes = ((0, IDLE_TIMEOUTS[1]), (0, IDLE_TIMEOUTS[-1]), (1, IDLE_TIMEOUTS[0]))
        few = [_mix(demand, draws, terms, service, size) for size in sizes]
        return min(few, key=lambda mix: mix.rank(rent))
    first = newsvendor(_busy(demand, service), 1 - terms.discount, 1.0)
    best = at(first)
    for step in (1, -1):
        reserved = best.reserved
        for _ in range(MOST_STEPS):
            reserved += step
            if not 0 <= reserved <= terms.max_gpus:
                break
            other = at(reserved)
            if other.rank(rent) < best.rank(rent):
                best = other
            elif best.keeps:
                break
    return best


def _busy(demand: Demand, service: int) -> Floats:
    """GPUs that a service would keep busy if nobody waited, at a thousand instants and more."""
    rows = demand.rows(service)
    starts = demand.arrivals[rows]
    ends = np.sort(starts + demand.seconds[rows])
    at = np.linspace(0.0, demand.span_seconds, 10_000)
    found: Floats = (
        np.searchsorted(starts, at, "right") - np.searchsorted(ends, at, "right")
    ).astype(np.float64)
    return found
