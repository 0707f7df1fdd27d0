"""The demand that a fleet is simulated on, and what can be told of it at each tick beforehand."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import numpy as np

from lightmeter.replay import Floats, Integers


USERS_WINDOW = 300.0
SHORT, LONG, RECENT = 120.0, 900.0, 2 * 86_400.0


@dataclass(frozen=True)
class Demand:
    """Requests in order of arrival: float arrays (n,) in seconds, ``users`` an int array (n,).

    ``arrivals`` count from ``start``, seconds since the epoch.
    """

    arrivals: Floats
    services: Floats
    users: Integers
    start: float = 0.0
    _tables: dict[float, Table] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.arrivals)

    def table(self, tick: float) -> Table:
        """Return what is known beforehand at every tick, worked out once."""
        if tick not in self._tables:
            self._tables[tick] = Table(self, tick)
        return self._tables[tick]

    @functools.cached_property
    def departures_of_users(self) -> Floats:
        """When each request stops counting for its user's being active: at the user's next one."""
        order = np.lexsort((self.arrivals, self.users))
        nexts = np.full(len(self), np.inf)
        same = self.users[order][1:] == self.users[order][:-1]
        nexts[order[:-1][same]] = self.arrivals[order[1:][same]]
        return np.sort(np.minimum(nexts, self.arrivals + USERS_WINDOW))


class Table:
    """Lists with an entry for each tick k, at time k x tick."""

    def __init__(self, demand: Demand, tick: float) -> None:
        arrivals = demand.arrivals
        last = int(np.ceil((arrivals[-1] + LONG) / tick)) + 2 if len(demand) else 1
        at = np.arange(last, dtype=np.float64) * tick

        def by(back: float) -> Integers:
            found: Integers = np.searchsorted(arrivals, at - back, side="right").astype(np.int64)
            return found

        arrived = by(0.0)
        self.arrived: list[int] = arrived.tolist()
        self.rate_short: list[float] = (np.subtract(arrived, by(SHORT)) / SHORT).tolist()
        self.rate_long: list[float] = (np.subtract(arrived, by(LONG)) / LONG).tolist()
        left = np.searchsorted(demand.departures_of_users, at, side="right")
        self.users: list[int] = (arrived - left).tolist()
        self.before_recent: list[int] = by(RECENT).tolist()
        self.sums = sums = np.concatenate([[0.0], np.cumsum(arrivals)])
        self.arrival_sum: list[float] = sums[arrived].tolist()
