"""What a simulated policy cost, and what it did to the users."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from lightmeter import replay
from lightmeter.replay import Floats
from lightmeter.scaling import policies
from lightmeter.scaling.state import Settings
from lightmeter.simulate.demand import Demand
from lightmeter.simulate.run import Played, play
from lightmeter.simulate.view import World


HOUR = 3600.0
SOON = 900.0
"""A change of direction sooner than this after the last change, seconds, is a reversal."""


@dataclass(frozen=True)
class Score:
    """A row of the table. Times in seconds."""

    gpu_hours: float
    """Held, from the order to the release: booting and draining included."""
    requests: int
    violations: int
    """Requests that waited longer than they may."""
    violation_ratio: float
    violation_minutes: int
    """Minutes in which one of them arrived."""
    wait_p50_seconds: float
    wait_p95_seconds: float
    wait_p99_seconds: float
    reversals: int
    operations: int
    """Changes of the number of replicas."""
    cold_starts: int
    """Requests that waited for a replica to boot."""
    boots: int

    def cost(self, price: float) -> float:
        """GPU-hours, with ``price`` GPU-seconds for each violation."""
        return self.gpu_hours + self.violations * price / HOUR

    def row(self, policy: str) -> dict[str, Any]:
        """Return the row for JSON; a wait without end is null."""
        numbers = {
            name: value if math.isfinite(value) else None for name, value in asdict(self).items()
        }
        return {"policy": policy, **numbers}


def score(
    played: Played, demand: Demand, world: World, *, begin: float = 0.0, end: float | None = None
) -> Score:
    """Score the requests that arrived, and the GPU time spent, in [begin, end)."""
    stop = played.end if end is None else end
    inside = (demand.arrivals >= begin) & (demand.arrivals < (np.inf if end is None else end))
    waits = played.waits[inside]
    late = waits > world.wait
    minutes = np.floor(demand.arrivals[inside][late] / 60)
    moves = played.changes[(played.changes[:, 0] >= begin) & (played.changes[:, 0] < stop)]
    p50, p95, p99 = _percentiles(waits)
    return Score(
        gpu_hours=float(held(played.lives, begin, stop)) / HOUR,
        requests=len(waits),
        violations=int(late.sum()),
        violation_ratio=float(late.mean()) if len(late) else 0.0,
        violation_minutes=len(np.unique(minutes)),
        wait_p50_seconds=p50,
        wait_p95_seconds=p95,
        wait_p99_seconds=p99,
        reversals=reversals(moves),
        operations=len(moves),
        cold_starts=int(inside[played.cold].sum()),
        boots=int(np.maximum(moves[:, 1], 0).sum()),
    )


def _percentiles(waits: Floats) -> list[float]:
    if not len(waits):
        return [0.0, 0.0, 0.0]
    found: list[float] = np.quantile(waits, [0.5, 0.95, 0.99], method="inverted_cdf").tolist()
    return found


def held(lives: Floats, begin: float, end: float) -> float:
    """GPU-seconds of lives (n, 2) within [begin, end)."""
    return float(np.maximum(np.minimum(lives[:, 1], end) - np.maximum(lives[:, 0], begin), 0).sum())


def reversals(moves: Floats) -> int:
    """Changes of direction within `SOON` of the change before; ``moves`` is (n, 2)."""
    turned = np.sign(moves[1:, 1]) != np.sign(moves[:-1, 1])
    return int((turned & (np.diff(moves[:, 0]) < SOON)).sum())


def oracle(demand: Demand, world: World) -> Played:
    """Play whoever knows the future and lets nobody wait, with as many GPUs as that takes.

    Each request goes to the GPU that worked last; between two requests on it, the GPU is kept
    where the gap is no longer than a start, else let go and started in time for the next. Each
    gap costs min(gap, start), as when GPUs are ready at once and kept idle for as long as a start
    takes: so `replay.elastic` knows the answer. Lu and Chen, https://arxiv.org/abs/1112.0442.
    """
    found = replay.elastic(
        demand.arrivals,
        demand.services,
        start=0.0,
        idle=world.cold_start,
        limit=max(1, len(demand)),
    )
    lives = np.stack([found.started - world.cold_start, found.stopped - world.cold_start], axis=1)
    moves = np.concatenate(
        [np.stack([lives[:, i], np.full(len(lives), 1.0 - 2 * i)], axis=1) for i in (0, 1)]
    )
    moves = moves[np.argsort(moves[:, 0], kind="stable")]
    end = float((demand.arrivals + demand.services).max(initial=0.0))
    return Played(found.waits, lives, moves, end, np.empty(0, dtype=np.int64))


def play_named(
    name: str,
    demand: Demand,
    settings: Settings,
    world: World,
    *,
    make: Callable[[], policies.Policy] | None = None,
    tell: Callable[[float], None] | None = None,
) -> Played:
    """Simulate the policy of this name, the clairvoyant one too, or what ``make`` makes of it.

    Raises:
        ScaleError: there is none of this name.
    """
    if name == policies.ORACLE:
        return oracle(demand, world)
    policy = policies.make(name, settings) if make is None else make()
    if isinstance(policy, policies.Static):  # it stands from the first second on
        world = replace(world, least=policy.count)
    return play(demand, policy, world, tell)


def score_named(
    name: str, demand: Demand, settings: Settings, world: World, *, begin: float = 0.0
) -> Score:
    """Simulate as `play_named` does, and score from ``begin`` on."""
    return score(play_named(name, demand, settings, world), demand, world, begin=begin)
