"""Services put on GPUs together, at the least price that keeps every objective. Pure.

An integer program places them under memory and load (`planner.packing`), a replay of every GPU
judges it; GPUs that miss are forbidden and the program is solved again, until all keep it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lightmeter.replay import Floats, Integers
from lightmeter.units import SECONDS_PER_HOUR
from planner.certainty import Draws
from planner.demand import Demand
from planner.options.base import (
    Option,
    OptionKind,
    Placement,
    Sharing,
    Terms,
    judged,
    keeps_objective,
    p95,
)
from planner.options.groups import GIB, Yard
from planner.options.rented import alone, size_own
from planner.packing import Cut, Group, Packing, Problem, pack


CAP = 0.95
"""Most load of a GPU that services share; replay asks for less where waits do."""
MOST_ROUNDS = 40
MPS_SOURCE = "setting plan.mps_interference; its default: two processes of a 4B language model on an A100 lose 7.5 % of their throughput under MPS (a published case study by gopebble); none is published for few-step diffusion; 0 to 0.2 is tried"
SLICING_SOURCE = "setting plan.interference; its default is from founding article 1, 16.8 s instead of 15.2 s with five pods on a card; 'lightmeter load' measures yours"


@dataclass(frozen=True)
class Mode:
    """A way in which models share a GPU: how much they hinder each other, and who says so."""

    sharing: Sharing
    name: str
    loss: Callable[[Terms], float]
    source: str
    grain: float = 1.0
    """Memory is granted in multiples of this, bytes."""


MODES = (
    Mode(Sharing.TIME_SLICING, "several services on a GPU, time-sliced", lambda terms: terms.interference, SLICING_SOURCE),
    Mode(Sharing.GPUSHARE, "several services on a GPU, aliyun.com/gpu-mem", lambda terms: terms.interference, SLICING_SOURCE, GIB),
    Mode(Sharing.MPS, "several services on a GPU, MPS", lambda terms: terms.mps_interference, MPS_SOURCE),
)  # fmt: skip


def placed(demand: Demand, draws: Draws, terms: Terms) -> list[Option]:
    """Put services on GPUs together, in each mode; nothing where no memory is known to share by."""
    sized, _ = size_own(demand, draws, terms)
    found = []
    for mode in MODES:
        yard = Yard(demand, draws, terms, mode.loss(terms))
        able = [
            service
            for service in range(len(sized))
            if sized[service] == 1 and _may_share(yard, service)
        ]
        if len(able) > 1:
            found.append(_place(yard, mode, able, sized))
    return found


def _may_share(yard: Yard, service: int) -> bool:
    vram = yard.vram(service)
    room = yard.terms.price.vram_bytes * (1 - yard.terms.headroom)
    return yard.terms.of(service).share and vram is not None and vram <= room


def _problem(yard: Yard, able: list[int], grain: float) -> Problem:
    demand = yard.demand
    vram = np.array([math.ceil((yard.vram(service) or 0.0) / grain) * grain for service in able])
    busy = np.bincount(demand.owner, weights=demand.seconds, minlength=len(demand.services))
    load = np.array([[busy[service] / demand.span_seconds / yard.speed(kind, service) for kind in range(len(yard.types))] for service in able])  # fmt: skip
    for row, service in enumerate(able):
        for kind in range(1, len(yard.types)):
            if not yard.keeps((kind, (service,))):
                load[row, kind] = np.inf
    room = np.array([price.vram_bytes for price in yard.types]) * (1 - yard.terms.headroom)
    price = np.array([float(one.price_per_gpu_hour) for one in yard.types])
    return Problem(vram, load, np.floor(room / grain) * grain, price, CAP)


def search(
    problem: Problem, keeps: Callable[[Group], bool], late: Callable[[Packing], Group | None]
) -> Packing:
    """Pack, forbid the GPUs that miss, and pack again until none does.

    A superset of services that miss misses too. ``late`` names the worst GPU of a packing whose
    GPUs all keep their objectives and which misses as a whole, None where it keeps it. Where so
    many rounds do not suffice, GPUs that miss lose their services, which get GPUs of their own.
    """
    cuts: list[Cut] = []
    packing = pack(problem, cuts)
    for _ in range(MOST_ROUNDS):
        missing = [group for group in packing.groups if len(group[1]) > 1 and not keeps(group)]
        if not missing:
            worst = late(packing)
            if worst is None:
                return packing
            missing = [worst]
        cuts += [(kind, frozenset(members)) for kind, members in missing]
        packing = pack(problem, cuts)
    return _apart(problem, packing, keeps)


def _apart(problem: Problem, packing: Packing, keeps: Callable[[Group], bool]) -> Packing:
    """Take services off the GPUs that miss, one by one, to GPUs of their own."""
    groups: list[Group] = []
    for kind, members in packing.groups:
        left = list(members)
        while len(left) > 1 and not keeps((kind, tuple(left))):
            heaviest = max(left, key=lambda one: float(problem.load[one, kind]))
            left.remove(heaviest)
            groups.append((kind, (heaviest,)))
        groups.append((kind, tuple(left)))
    cost = float(sum(problem.price[kind] for kind, _ in groups))
    return Packing(tuple(groups), cost, packing.bound)


def _place(yard: Yard, mode: Mode, able: list[int], sized: Integers) -> Option:
    demand, terms = yard.demand, yard.terms
    own = [service for service in range(len(sized)) if service not in set(able)]

    def named(group: Group) -> Group:
        return group[0], tuple(able[one] for one in group[1])

    def waits_of(groups: list[Group], other: Demand, yard: Yard = yard) -> Floats:
        waits = np.empty(len(other.arrivals))
        for group in groups:
            rows, found = yard.replay(group, other)
            waits[rows] = found
        for service in own:
            rows = other.rows(service)
            waits[rows] = alone(other, rows, int(sized[service]))
        return waits

    def late(packing: Packing) -> Group | None:
        waits = waits_of([named(group) for group in packing.groups], demand)
        if keeps_objective(demand, yard.draws, waits, terms.slo):
            return None
        missed = demand.judged & ~terms.slo.within(waits)
        shared = [group for group in packing.groups if len(group[1]) > 1]
        counts = np.array(
            [missed[np.isin(demand.owner, named(group)[1])].sum() for group in shared]
        )
        return shared[int(np.argmax(counts))] if counts.any() else None

    packing = search(_problem(yard, able, mode.grain), lambda group: yard.keeps(named(group)), late)
    groups = [named(group) for group in packing.groups]
    waits = waits_of(groups, demand)
    return _option(yard, mode, (groups, packing), (waits, own, sized), waits_of)


def _option(  # noqa: PLR0917  (what was placed, the rest, and how to replay both)
    yard: Yard,
    mode: Mode,
    placed: tuple[list[Group], Packing],
    rest: tuple[Floats, list[int], Integers],
    waits_of: Callable[[list[Group], Demand, Yard], Floats],
) -> Option:
    demand, terms = yard.demand, yard.terms
    groups, packing = placed
    waits, own, sized = rest
    apart = int(sum(sized[service] for service in own))
    main = float(terms.price.price_per_gpu_hour)
    worth = apart + sum(float(yard.types[kind].price_per_gpu_hour) / main for kind, _ in groups)
    hours = yard.draws.lengths / SECONDS_PER_HOUR

    def again(other: Demand, changed: Terms) -> Floats:
        return waits_of(groups, other, Yard(other, yard.draws, changed, mode.loss(changed)))

    option = Option(
        OptionKind.SHARED,
        len(groups) + apart,
        _placements(yard, mode, groups, waits)
        + tuple(Placement((demand.services[one],), int(sized[one]), p95(waits[demand.rows(one)])) for one in own),
        waits=waits,
        billed=worth * (1 - terms.discount) * hours,
        held=(len(groups) + apart) * hours,
        name=mode.name,
        sharing=mode.sharing,
        facts=_facts(yard, mode, packing),
        again=again,
    )  # fmt: skip
    return judged(option, demand, yard.draws, terms)


def _placements(
    yard: Yard, mode: Mode, groups: list[Group], waits: Floats
) -> tuple[Placement, ...]:
    names = yard.demand.services
    found = []
    for kind, members in groups:
        rows = np.concatenate([yard.demand.rows(service) for service in members])
        grants = [math.ceil((yard.vram(service) or 0.0) / GIB) for service in members]
        found.append(
            Placement(
                tuple(names[service] for service in members),
                1,
                p95(waits[rows]),
                sku=yard.types[kind].sku if kind else "",
                slice=", ".join(f"{gib} GiB" for gib in grants) if mode.grain == GIB else "",
            )
        )
    return tuple(found)


def _facts(yard: Yard, mode: Mode, packing: Packing) -> tuple[tuple[str, float | str, str], ...]:
    terms = yard.terms
    facts: list[tuple[str, float | str, str]] = [
        ("share of a GPU's speed lost while services work on it together", yard.loss, mode.source),
        ("share of a GPU's memory kept free", terms.headroom, "setting plan.headroom"),
        ("wait of a request", "includes what others slow it down by", "it is slower, not later, where a GPU is shared"),
        ("gap of the placement, share of its price", round(packing.gap, 4), "the integer program's or the heuristic's lower bound"),
    ]  # fmt: skip
    if terms.others:
        speeds = ", ".join(f"{one.sku} {yard.speed(kind, 0):.3g}" for kind, one in enumerate(yard.types) if kind)  # fmt: skip
        facts.append(("speed of other GPUs over the one in the history", speeds, "measured where the services file has it, else the ratio of their peaks"))  # fmt: skip
    if yard.demand.ranks is not None:
        facts.append(("urgent requests", "first among those of their own service", "a GPU gives the services at work on it equal parts, however urgent"))  # fmt: skip
    if mode.sharing is not Sharing.MPS:
        facts.append(("memory of a neighbour", "not protected", "one fault domain: an overflow of one is everybody's"))  # fmt: skip
    return tuple(facts)
