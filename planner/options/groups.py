"""Services together on GPUs: who is where, replayed GPU by GPU. Pure."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from lightmeter import replay, roofline
from lightmeter.errors import PlanError, SettingError
from lightmeter.replay import Floats, Integers, Replicas
from planner.certainty import MIN_JUDGED, Draws
from planner.demand import Demand
from planner.options.base import Terms, kept
from planner.options.rented import alone
from planner.packing import Group
from planner.prices import Price


GIB = 1024**3
MOST_LOSS = 0.99
"""A GPU that several services share does some work, whatever is tried."""


def speed(price: Price, terms: Terms, service: int) -> float:
    """Speed of a GPU type for a service, over the GPU of the history.

    Measured where the services file has it, by SKU or GPU; else by the ratio of the peaks of both
    GPUs, which is what a roofline knows (lightmeter/roofline.py); 1 for the plan's own SKU.

    Raises:
        PlanError: neither measured nor in the table of peaks.
    """
    measured = dict(terms.of(service).speed)
    for name in (price.sku, price.gpu):
        if name in measured:
            return measured[name]
    return 1.0 if price.gpu == terms.price.gpu else _by_peak(price.gpu, terms.price.gpu)


@functools.cache
def _by_peak(gpu: str, main: str) -> float:
    return _peak(gpu) / _peak(main)


def _peak(name: str) -> float:
    """Peak of a GPU as price tables spell it: A100-80G is an A100.

    Raises:
        PlanError: the table of peaks has it under neither name.
    """
    try:
        return roofline.gpu(name).peak
    except SettingError:
        pass
    try:
        return roofline.gpu(name.partition("-")[0]).peak
    except SettingError as error:
        raise PlanError(f"{error}; give its measured speed in the --services file") from error


def _places(members: Sequence[int]) -> Integers:
    """Return a table with each member's place among them."""
    places = np.zeros(max(members) + 1, dtype=np.int64)
    places[list(members)] = np.arange(len(members))
    return places


@dataclass(frozen=True)
class Yard:
    """The services, the GPU types that they may be put on, and what was found out about groups.

    ``loss`` is the share of a GPU's speed that is lost while services work together on it, unless a
    service has its own.
    """

    demand: Demand
    draws: Draws
    terms: Terms
    loss: float
    _tried: dict[Group, bool] = field(default_factory=dict)

    @property
    def types(self) -> tuple[Price, ...]:
        """The plan's SKU, then the others."""
        return (self.terms.price, *self.terms.others)

    def speed(self, kind: int, service: int) -> float:
        """Speed of a type for a service."""
        return speed(self.types[kind], self.terms, service)

    def vram(self, service: int) -> float | None:
        """GPU memory that a service needs, bytes: what is known of it, else its measured peak."""
        known = self.terms.of(service).vram_bytes
        return self.demand.peak_vram_bytes[service] if known is None else known

    def keeps(self, group: Group) -> bool:
        """Tell whether the services of a GPU surely keep their objectives on it, by replay."""
        if group not in self._tried:
            rows, waits = self.replay(group)
            self._tried[group] = self.kept(rows, waits)
        return self._tried[group]

    def kept(self, rows: Integers, waits: Floats) -> bool:
        """Tell of requests whether each service among them keeps it, the small ones together."""
        demand, target = self.demand, self.terms.slo.target
        within = self.terms.slo.within_at(waits, rows)
        asked = demand.judged[rows]
        rows, within = rows[asked], within[asked]
        if within.all():
            return True
        owner = demand.owner[rows]
        counts = np.bincount(owner)
        small = counts[owner] < MIN_JUDGED
        masks = [owner == name for name in np.flatnonzero(counts >= MIN_JUDGED)]
        if small.any():
            masks.append(small)
        return all(kept(self.draws, rows[mask], within[mask], target) for mask in masks)

    def replay(self, group: Group, demand: Demand | None = None) -> tuple[Integers, Floats]:
        """Replay one GPU; returns its requests' indices and how long each took beyond its own time.

        Work that is slowed by others, or by a slower GPU, counts as waiting.
        """
        kind, members = group
        demand = self.demand if demand is None else demand
        if len(members) == 1:
            rows = demand.rows(members[0])
            return rows, alone(demand, rows, 1, self.speed(kind, members[0]))
        rows = demand.rows_of(members)
        speeds = np.array([self.speed(kind, service) for service in members])
        place = _places(members)[demand.owner[rows]]
        arrivals, seconds = demand.arrivals[rows], demand.seconds[rows]
        lost = min(MOST_LOSS, max(self._loss(service) for service in members))
        replicas = Replicas(
            gpu=np.zeros(len(members), dtype=np.int64),
            service=np.arange(len(members)),
            speeds=np.array([[1.0, 1.0 - lost]]),
        )
        taken = seconds if (speeds == 1.0).all() else seconds / speeds[place]
        found = replay.together(arrivals, taken, place, replicas, ranks=demand.ranks_of(rows))
        return rows, np.maximum(found.ends - arrivals - seconds, 0.0)

    def _loss(self, service: int) -> float:
        own = self.terms.of(service).interference
        return self.loss if own is None else own
