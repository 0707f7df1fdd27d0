"""Rented GPUs, on around the clock: for each service its own, or one pool for all. Pure."""

from __future__ import annotations

import numpy as np

from lightmeter import replay
from lightmeter.replay import Floats, Integers
from lightmeter.units import SECONDS_PER_HOUR
from planner import certainty
from planner.certainty import Draws
from planner.demand import Demand
from planner.options.base import (
    Option,
    OptionKind,
    Placement,
    Sharing,
    Terms,
    fewest,
    judged,
    keeps_objective,
    kept,
    p95,
)


def dedicated(demand: Demand, draws: Draws, terms: Terms) -> Option:
    """Give each service as many GPUs of its own as its load and its objective need."""
    gpus, waits = size_own(demand, draws, terms)
    placement = tuple(
        Placement((name,), int(gpus[index]), p95(waits[demand.rows(index)]))
        for index, name in enumerate(demand.services)
    )
    option = Option(
        OptionKind.DEDICATED,
        int(gpus.sum()),
        placement,
        waits=waits,
        billed=rent(int(gpus.sum()), draws, terms),
        held=int(gpus.sum()) * draws.lengths / SECONDS_PER_HOUR,
        again=lambda other, _: own_waits(other, gpus),
    )
    return judged(option, demand, draws, terms)


def rent(gpus: float, draws: Draws, terms: Terms) -> Floats:
    """What each block is billed for so many GPUs around the clock, in GPU-hours at the plan's price."""
    return gpus * (1 - terms.discount) * draws.lengths / SECONDS_PER_HOUR


def size_own(demand: Demand, draws: Draws, terms: Terms) -> tuple[Integers, Floats]:
    """Find the fewest GPUs for each service, and the waits that they make, (n,).

    Services too small to be judged alone get more where waits are worst, until they keep the
    objective together.
    """
    services = len(demand.services)
    load = np.bincount(demand.owner, weights=demand.seconds) / demand.span_seconds
    gpus = np.clip(np.ceil(load), 1, terms.max_gpus).astype(np.int64)
    waits = own_waits(demand, gpus)
    late = demand.judged & ~terms.slo.within(waits)
    for group in certainty.groups(demand):
        if len(group) == 1 and not late[demand.rows(int(group[0]))].any():
            continue
        rows = np.concatenate([demand.rows(int(service)) for service in group])
        rows = np.sort(rows[demand.judged[rows]])
        while not kept(draws, rows, ~late[rows], terms.slo.target) and gpus.sum() < terms.max_gpus:
            worst = int(np.argmax(np.bincount(demand.owner[rows[late[rows]]], minlength=services)))
            own = demand.rows(worst)
            gpus[worst] += 1
            waits[own] = alone(demand, own, int(gpus[worst]))
            late[own] = demand.judged[own] & ~terms.slo.within(waits)[own]
    return gpus, waits


def own_waits(demand: Demand, gpus: Integers) -> Floats:
    """Waits of all requests where each service has so many GPUs of its own."""
    waits = np.empty(len(demand.arrivals))
    for service, count in enumerate(gpus.tolist()):
        rows = demand.rows(service)
        waits[rows] = alone(demand, rows, count)
    return waits


def alone(demand: Demand, rows: Integers, gpus: int, speed: float = 1.0) -> Floats:
    """Waits of one service's requests on GPUs of its own, the urgent first.

    On a GPU of another ``speed`` what a request takes longer counts as waiting.
    """
    arrivals, seconds = demand.arrivals[rows], demand.seconds[rows]
    taken = seconds if speed == 1.0 else seconds / speed
    ranks = demand.ranks_of(rows)
    if ranks is None:
        waits = replay.waits(arrivals, taken, gpus)
    else:
        waits = replay.ranked(arrivals, taken, ranks, gpus)
    return waits if speed == 1.0 else np.maximum(waits + taken - seconds, 0.0)


def shared(demand: Demand, draws: Draws, terms: Terms) -> Option:
    """Let one pool serve everybody, with the fewest GPUs that keep the objective."""
    return _pooled(demand, draws, terms, Sharing.SWAP)


def asleep(demand: Demand, draws: Draws, terms: Terms) -> list[Option]:
    """Let one pool serve everybody, the models that do not work waiting in the host's memory."""
    if len(demand.services) == 1 or terms.wake_seconds is None:
        return []
    return [_pooled(demand, draws, terms, Sharing.SLEEP)]


def _swap(terms: Terms, sharing: Sharing) -> float:
    return float(terms.wake_seconds or 0.0) if sharing is Sharing.SLEEP else terms.swap_seconds


def _pooled(demand: Demand, draws: Draws, terms: Terms, sharing: Sharing) -> Option:
    def run(gpus: int, demand: Demand = demand, terms: Terms = terms) -> replay.Pool:
        return replay.pool(
            demand.arrivals,
            demand.seconds,
            demand.owner,
            servers=gpus,
            swap=_swap(terms, sharing),
            ranks=demand.ranks,
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
        billed=rent(gpus, draws, terms),
        held=gpus * draws.lengths / SECONDS_PER_HOUR,
        cold_starts=int(found.swapped.sum()),
        name="one shared pool, idle models asleep" if sharing is Sharing.SLEEP else "",
        sharing=sharing,
        again=lambda other, terms: run(gpus, other, terms).waits,
    )
    return judged(option, demand, draws, terms)
