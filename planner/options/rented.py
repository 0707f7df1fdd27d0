"""Rented GPUs, on around the clock: for each service its own, or one pool for all. Pure."""

from __future__ import annotations

import numpy as np

from lightmeter import replay
from lightmeter.replay import Floats
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
        while not kept(draws, mask, waits, terms.slo) and gpus.sum() < terms.max_gpus:
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
    return judged(option, demand, draws, terms)


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
        sharing=Sharing.SWAP,
    )
    return judged(option, demand, draws, terms)


def _alone(demand: Demand, service: int, gpus: int) -> Floats:
    mask = demand.of(service)
    return replay.waits(demand.arrivals[mask], demand.seconds[mask], gpus)
