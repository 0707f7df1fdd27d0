"""What a scaler sees of a simulated fleet, as a monitoring system would tell it."""

from __future__ import annotations

import bisect
import heapq
from collections import deque
from dataclasses import dataclass

import numpy as np

from lightmeter.scaling.signals import Observations
from lightmeter.simulate.demand import LONG, RECENT, SHORT, Demand
from lightmeter.simulate.fleet import Fleet


SERVICE_WEIGHT = 0.02
"""Of a finished request in the running mean of service times."""
LATENCY_WINDOW = 300.0


@dataclass(frozen=True)
class World:
    """What a fleet is made of. Times in seconds."""

    cold_start: float = 180.0
    jitter: float = 0.0
    """A start takes (1 - jitter .. 1 + jitter) times as long, evenly drawn."""
    wait: float = 30.0
    """The longest wait that is no violation."""
    least: int = 0
    most: int = 8
    tick: float = 15.0
    seed: int = 1


class View:
    """Counts what ended; works out rates, means and areas at the time of a look."""

    def __init__(self, demand: Demand, fleet: Fleet, world: World) -> None:
        self.demand, self.fleet, self.world = demand, fleet, world
        self.table = demand.table(world.tick)
        self.mean: float | None = None
        self.scv: float | None = None
        self._square = 0.0
        self._done, self._sojourns, self._services = 0, 0.0, 0.0
        self._arrivals, self._starts = 0.0, 0.0
        self._areas = (0.0, 0.0, 0.0)
        self._answered: deque[tuple[float, int, float]] = deque()

    def at(self, k: int) -> Observations:
        """Look at tick ``k``."""
        table = self.table
        k_known = min(k, len(table.arrived) - 1)
        return self._see(
            k * self.world.tick,
            table.arrived[k_known],
            (table.rate_short[k_known], table.rate_long[k_known], table.users[k_known]),
            (table.before_recent[k_known], table.arrival_sum[k_known]),
        )

    def between(self, now: float) -> Observations:
        """Look at any instant; the request that arrives then is seen."""
        arrivals = self.fleet.arrivals
        arrived = bisect.bisect_right(arrivals, now)
        left = int(np.searchsorted(self.demand.departures_of_users, now, side="right"))
        short = (arrived - bisect.bisect_right(arrivals, now - SHORT)) / SHORT
        long = (arrived - bisect.bisect_right(arrivals, now - LONG)) / LONG
        old = bisect.bisect_right(arrivals, now - RECENT)
        sums = self.table.sums
        return self._see(now, arrived, (short, long, arrived - left), (old, float(sums[arrived])))

    def _see(
        self,
        now: float,
        arrived: int,
        rates: tuple[float, float, int],
        past: tuple[int, float],
    ) -> Observations:
        self._finish(now)
        fleet = self.fleet
        started = len(fleet.starts)
        in_flight = arrived - self._done
        running = started - self._done
        area = self._sojourns + in_flight * now - (past[1] - self._arrivals)
        busy = self._services + running * now - (fleet.start_sum - self._starts)
        then, area_then, busy_then = self._areas
        self._areas = now, area, busy
        span = now - then or 1.0
        ready = sum([one[1] <= now for one in fleet.replicas])
        old = min(past[0], started)
        return Observations(
            ready,
            len(fleet.replicas) - ready,
            in_flight,
            arrived - started,
            rates[0],
            rates[1],
            rates[2],
            self.mean,
            self.scv,
            self.world.cold_start,
            (fleet.violations[started] - fleet.violations[old]) / max(1, started - old),
            None,
            (area - area_then) / span,
            (busy - busy_then) / span,
            self._latency(now),
        )

    def _finish(self, now: float) -> None:
        running = self.fleet.running
        while running and running[0][0] <= now:
            end, service, arrival = heapq.heappop(running)
            self._done += 1
            self._sojourns += end - arrival
            self._services += service
            self._arrivals += arrival
            self._starts += end - service
            if self.mean is None:
                self.mean, self._square = service, 2 * service * service
            else:
                self.mean += SERVICE_WEIGHT * (service - self.mean)
                self._square += SERVICE_WEIGHT * (service * service - self._square)
            square = self.mean * self.mean  # 0 for times that no clock can tell
            self.scv = max(0.0, self._square / square - 1) if square else 0.0

    def _latency(self, now: float) -> float | None:
        answered = self._answered
        answered.append((now, self._done, self._sojourns))
        while len(answered) > 1 and answered[1][0] <= now - LATENCY_WINDOW:
            answered.popleft()
        count = self._done - answered[0][1]
        return (self._sojourns - answered[0][2]) / count if count else None
