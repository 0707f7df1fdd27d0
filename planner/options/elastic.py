"""GPUs started for the load and released when idle, billed for the time between. Pure."""

from __future__ import annotations

import dataclasses

import numpy as np

from lightmeter import replay
from lightmeter.replay import Floats
from lightmeter.units import SECONDS_PER_HOUR
from planner.certainty import Draws
from planner.demand import Demand, busy_between
from planner.options.base import (
    Option,
    OptionKind,
    Placement,
    Terms,
    Vendor,
    judged,
    p95,
    round_up,
)
from planner.options.groups import speed
from planner.prices import Price


IDLE_TIMEOUTS = (60.0, 300.0, 900.0, 3600.0, 14_400.0)
"""On-demand idle timeouts that are tried, seconds; the cheapest that keeps the objective is kept."""


def on_demand(demand: Demand, draws: Draws, terms: Terms) -> Option:
    """Start GPUs for each service when it is asked for; the best of `IDLE_TIMEOUTS`.

    The best is the cheapest that keeps the objective, or else the one that comes closest.
    """
    options = [_on_demand(demand, draws, terms, idle) for idle in IDLE_TIMEOUTS]
    meeting = [option for option in options if option.meets_slo]
    if meeting:
        return min(meeting, key=lambda option: float(option.billed.sum()))
    return max(options, key=lambda option: option.attainment)


def on_vendors(demand: Demand, draws: Draws, terms: Terms) -> list[Option]:
    """Start GPUs of the plan's price, and of each vendor's."""
    return [on_demand(demand, draws, terms), *(_on_vendor(demand, draws, terms, one) for one in terms.vendors)]  # fmt: skip


def _on_vendor(demand: Demand, draws: Draws, terms: Terms, vendor: Vendor) -> Option:
    here, there = vendor.price, _at_vendor(terms, vendor)
    worth = float(here.price_per_gpu_hour / terms.price.price_per_gpu_hour)
    found = on_demand(_slower(demand, here, terms), draws, dataclasses.replace(there, price=here))
    waits = _lateness(found.waits, demand, here, terms)

    def again(other: Demand, changed: Terms) -> Floats:
        moved = elastic_waits(_slower(other, here, changed), _at_vendor(changed, vendor), found.idle_seconds or 0.0)  # fmt: skip
        return _lateness(moved[0], other, here, changed)

    option = dataclasses.replace(
        found,
        waits=waits,
        placement=tuple(
            dataclasses.replace(place, sku=here.sku, wait_p95_seconds=p95(waits[demand.rows(index)]))
            for index, place in enumerate(found.placement)
        ),
        billed=found.billed * worth,
        held=found.billed,
        name=f"on-demand GPUs at {here.sku}",
        facts=_said(demand, here, terms),
        again=again,
        under=dataclasses.replace(there, price=here),
    )  # fmt: skip
    return judged(option, demand, draws, terms)


def _at_vendor(terms: Terms, vendor: Vendor) -> Terms:
    if vendor.start_seconds is None:
        return terms
    known = tuple(dataclasses.replace(one, start_seconds=None) for one in terms.known)
    return dataclasses.replace(terms, start_seconds=vendor.start_seconds, known=known)


def _speeds(demand: Demand, price: Price, terms: Terms) -> Floats:
    return np.array([speed(price, terms, service) for service in range(len(demand.services))])


def _slower(demand: Demand, price: Price, terms: Terms) -> Demand:
    speeds = _speeds(demand, price, terms)
    if (speeds == 1.0).all():
        return demand
    return dataclasses.replace(demand, seconds=demand.seconds / speeds[demand.owner])


def _lateness(waits: Floats, demand: Demand, price: Price, terms: Terms) -> Floats:
    """What requests take beyond their own time: on a slower GPU its slowness counts as waiting."""
    slower = demand.seconds / _speeds(demand, price, terms)[demand.owner] - demand.seconds
    return np.maximum(waits + slower, 0.0)


def _said(demand: Demand, price: Price, terms: Terms) -> tuple[tuple[str, float | str, str], ...]:
    if (_speeds(demand, price, terms) == 1.0).all():
        return ()
    return (
        ("wait of a request", "includes what a slower GPU or slice takes longer", "it is slower there, not later"),
        ("speed of other GPUs over the one in the history", "by service", "measured where the services file has it, else the ratio of their peaks"),
    )  # fmt: skip


def elastic_waits(demand: Demand, terms: Terms, idle: float) -> tuple[Floats, list[replay.Elastic]]:
    """Replay every service on GPUs of its own that come and go; waits (n,), then by service."""
    waits = np.empty(len(demand.arrivals))
    lives = []
    for index in range(len(demand.services)):
        rows = demand.rows(index)
        arrivals, seconds = demand.arrivals[rows], demand.seconds[rows]
        start = terms.start_of(index)
        lives.append(
            replay.elastic(
                arrivals,
                seconds,
                start=start,
                idle=idle,
                limit=terms.max_gpus,
                ranks=demand.ranks_of(rows),
            )
        )
        waits[rows] = lives[-1].waits
    return waits, lives


def _on_demand(demand: Demand, draws: Draws, terms: Terms, idle: float) -> Option:
    waits, lives = elastic_waits(demand, terms, idle)
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
        billed=billed(started, stopped, draws, terms.price) / SECONDS_PER_HOUR,
        cold_starts=len(started),
        idle_seconds=idle,
        again=lambda other, terms: elastic_waits(other, terms, idle)[0],
    )
    return judged(option, demand, draws, terms)


def billed(started: Floats, stopped: Floats, draws: Draws, price: Price) -> Floats:
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
