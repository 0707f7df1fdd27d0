"""A policy and a demand, played through: discrete events, one look at the fleet every tick."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lightmeter.replay import Floats, Integers
from lightmeter.scaling.policies import Policy
from lightmeter.scaling.signals import Observations
from lightmeter.simulate.demand import Demand
from lightmeter.simulate.fleet import Fleet
from lightmeter.simulate.view import View, World


PATIENCE = 86_400.0
"""Seconds after the last arrival at which those who were never served are given up."""


@dataclass(frozen=True)
class Played:
    """What came of it. Float arrays; times in seconds since the demand's start."""

    waits: Floats
    """(n,), before the service."""
    lives: Floats
    """(replicas, 2): ordered at, let go at."""
    changes: Floats
    """(operations, 2): when, and replicas more or less."""
    end: float
    cold: Integers
    """Indices of the requests that waited for a boot."""


class Player:
    """One simulation: the fleet, the scaler that looks at it, and what it can see."""

    def __init__(self, demand: Demand, policy: Policy, world: World) -> None:
        self.policy, self.world = policy, world
        self.fleet = Fleet(demand.arrivals, demand.services, world.wait)
        self.view = View(demand, self.fleet, world)
        self.rng = np.random.default_rng(world.seed)
        self.changes: list[tuple[float, float]] = []
        self.target: int | None = None
        self.ticks = 0

    def play(self, tell: Callable[[float], None] | None = None) -> None:
        """Run until every request has a replica; ``tell`` hears the share done, now and then."""
        fleet, tick = self.fleet, self.world.tick
        for _ in range(self.world.least):
            fleet.order(0.0, 0.0)
        requests = len(fleet.arrivals)
        k = 0
        last = math.ceil((fleet.arrivals[-1] + PATIENCE) / tick) if requests else 0
        while k <= last and len(fleet.starts) < requests:
            if self.target == 0 and not fleet.replicas:
                k = self._sleep(k)
            fleet.step(k * tick)
            self._look(self.view.at(k), k * tick)
            k += 1
            if tell is not None and not self.ticks & 1023:
                tell(k / last)

    def _sleep(self, k: int) -> int:
        """Skip the ticks with nothing to see before the next request, and return its tick.

        With no replica and nobody waiting every policy here would say 0 at each of them.
        """
        arrival = self.fleet.arrivals[len(self.fleet.starts)]
        if arrival <= (k - 1) * self.world.tick:
            return k  # somebody waits already
        if self.policy.wakes:
            self._look(self.view.between(arrival), arrival)
        return math.ceil(arrival / self.world.tick)

    def _look(self, seen: Observations, now: float) -> None:
        world, fleet = self.world, self.fleet
        self.ticks += 1
        self.target = min(max(self.policy.replicas(seen, now), world.least), world.most)
        more = self.target - len(fleet.replicas)
        if not more:
            return
        self.changes.append((now, float(more)))
        if more < 0:
            fleet.dismiss(-more, now)
        for _ in range(more):
            luck = 1 + world.jitter * self.rng.uniform(-1, 1) if world.jitter else 1.0
            fleet.order(now, now + world.cold_start * luck)


def play(
    demand: Demand, policy: Policy, world: World, tell: Callable[[float], None] | None = None
) -> Played:
    """Simulate a policy on a demand."""
    player = Player(demand, policy, world)
    player.play(tell)
    fleet = player.fleet
    end = fleet.close()
    waits = np.full(len(demand), np.inf)  # of those whom nobody ever served
    waits[: len(fleet.starts)] = np.asarray(fleet.starts) - demand.arrivals[: len(fleet.starts)]
    return Played(
        waits=waits,
        lives=np.asarray(sorted(fleet.lives), dtype=np.float64).reshape(-1, 2),
        changes=np.asarray(player.changes, dtype=np.float64).reshape(-1, 2),
        end=end,
        cold=np.asarray(fleet.cold, dtype=np.int64),
    )
