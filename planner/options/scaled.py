"""On-demand GPUs ruled by the scaling policy that `lightmeter scale` runs, simulated. Pure.

`elastic` starts GPUs knowing how long the running requests will take; this is what a scaler does
that sees a fleet as a monitoring system tells it, every quarter of a minute.
"""

from __future__ import annotations

import numpy as np

from lightmeter import replay
from lightmeter.replay import Floats
from lightmeter.scaling import policies
from lightmeter.scaling.state import Settings
from lightmeter.simulate.demand import Demand as Load
from lightmeter.simulate.run import PATIENCE, Played, play
from lightmeter.simulate.view import World
from lightmeter.units import SECONDS_PER_HOUR
from planner.certainty import Draws
from planner.demand import Demand
from planner.options.base import Option, OptionKind, Placement, Terms, judged, p95
from planner.options.elastic import billed


MOST_TICKS, MOST_REQUESTS = 200_000, 200_000
"""Looks at fleets, and requests, above which the policy is not simulated: it would take minutes."""


def scaled(demand: Demand, draws: Draws, terms: Terms) -> list[Option]:
    """Let each service's GPUs follow the scaling policy that the terms name, if they name one."""
    looks = len(demand.services) * demand.span_seconds / World().tick
    if not terms.policy or looks > MOST_TICKS or len(demand.arrivals) > MOST_REQUESTS:
        return []
    played = _played(demand, terms)
    lives = np.concatenate([one.lives for one in played])
    stopped = np.minimum(lives[:, 1], demand.span_seconds)
    started = np.minimum(lives[:, 0], stopped)
    waits = _waits(demand, played)
    option = Option(
        OptionKind.ON_DEMAND,
        replay.peak(started, stopped),
        tuple(
            Placement((name,), replay.peak(one.lives[:, 0], one.lives[:, 1]), p95(one.waits))
            for name, one in zip(demand.services, played, strict=True)
        ),
        waits=waits,
        billed=billed(started, stopped, draws, terms.price) / SECONDS_PER_HOUR,
        cold_starts=len(lives),
        name="on-demand GPUs, ruled by lightmeter scale",
        facts=_facts(demand, terms),
        again=lambda other, changed: _waits(other, _played(other, changed)),
        slow=True,
    )
    return [judged(option, demand, draws, terms)]


def _facts(demand: Demand, terms: Terms) -> tuple[tuple[str, float | str, str], ...]:
    ranked = ("urgent requests", "in order of arrival, like the others", "the simulated fleet knows no priorities: they would wait less than is said here")  # fmt: skip
    return (
        ("scaling policy", terms.policy, "what 'lightmeter scale' does, as 'lightmeter simulate' plays it"),
        ("seconds between two looks of the scaler", World().tick, "default of 'lightmeter simulate'"),
        *(() if demand.ranks is None else (ranked,)),
    )  # fmt: skip


def _played(demand: Demand, terms: Terms) -> list[Played]:
    found = []
    for service in range(len(demand.services)):
        rows = demand.rows(service)
        load = Load(
            arrivals=demand.arrivals[rows],
            services=demand.seconds[rows],
            users=np.arange(len(rows)),
            start=demand.start.timestamp(),
        )
        most, wait = min(terms.max_gpus, len(rows)), _wait(terms, service)
        start = terms.start_of(service)
        policy = policies.make(terms.policy, Settings(most=most, wait=wait, cold_start=start))
        found.append(play(load, policy, World(most=most, wait=wait, cold_start=start)))
    return found


def _wait(terms: Terms, service: int) -> float:
    own = terms.of(service).wait_seconds
    return terms.slo.wait_seconds if own is None else own


def _waits(demand: Demand, played: list[Played]) -> Floats:
    waits = np.empty(len(demand.arrivals))
    for service, one in enumerate(played):
        # whom the policy never served waited until they were given up
        waits[demand.rows(service)] = np.nan_to_num(
            one.waits, posinf=demand.span_seconds + PATIENCE
        )
    return waits
