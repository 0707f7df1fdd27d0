"""One replica as the gateway sees it: what it says of itself, what it has to do, how fast it is."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from typing import NamedTuple

from inference.gateway.hop import Line
from inference.gateway.upstreams import Address
from inference.pace import Pace
from inference.tickets import Batch, Ticket
from lightmeter.catalog import ReplicaState, StopReason


FAULTS = 3
"""So many faults in a row, and a replica that says it is ready is left out."""
FIRST_OUT_SECONDS, MOST_OUT_SECONDS = 5.0, 120.0
"""For so long at first; each time twice as long as the last."""


class Load(NamedTuple):
    """What a replica has to do: expected seconds of all that is there, requests, and how many may be."""

    seconds: float
    requests: int
    most: int


def least(loads: Iterable[Load]) -> int | None:
    """Choose the place that is done first, among those with room; None where none has. Pure."""
    open_ = [(load.seconds, load.requests, n) for n, load in enumerate(loads) if load.requests < load.most]  # fmt: skip
    return min(open_)[2] if open_ else None


class Replica:
    """One server. Times are seconds of the caller's clock."""

    def __init__(self, address: Address, most_each: int, trust: ssl.SSLContext) -> None:
        self.address = address
        self.line = Line(address, trust)
        self.name: str | None = None
        """As its job ids have it; None until it was asked."""
        self.pace = Pace()
        self.workers = 0
        """Workers that can serve, as it said last."""
        self.answers = False
        """Whether it answered the last look at all."""
        self.ready = False
        self.listed = True
        """Whether its address is still among the upstreams'."""
        self.there: dict[Ticket, float] = {}
        """The requests that it has, and since when."""
        self.silent_since: float | None = None
        self.busy_until = 0.0
        """It refused for want of room, and is not asked again before."""
        self._most_each = most_each
        self._faults, self._outs, self._out_until = 0, 0, 0.0
        self._finished = 0.0
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done once nothing is heard of it any more: what it has will not be answered."""

    def state(self, now: float) -> ReplicaState:
        """Say what to think of it."""
        if not self.answers:
            return ReplicaState.UNREACHABLE
        if not self.ready:
            return ReplicaState.UNREADY
        return ReplicaState.EJECTED if now < self._out_until else ReplicaState.READY

    def load(self, pace: Pace, now: float) -> Load:
        """Tell what it has to do; ``pace`` is all replicas', for one that was not measured yet."""
        if now < self.busy_until:
            return Load(0.0, 0, 0)
        mine = self.pace if self.pace.known else pace
        hands = max(1, self.workers)
        seconds = sum(map(mine.predict, self.there)) / hands
        return Load(seconds, len(self.there), hands * self._most_each)

    def take(self, ticket: Ticket, now: float) -> None:
        """Give it a request."""
        self.there[ticket] = now

    def drop(self, ticket: Ticket) -> None:
        """Take a request away, unfinished or not."""
        self.there.pop(ticket, None)

    def finished(self, ticket: Ticket, now: float) -> float:
        """Measure a request that it answered; return seconds of one worker.

        They are those since it last answered one, or since it got this one where that is later,
        times its workers: requests that ride together come back together, and the mean is right.
        """
        since = max(self._finished, self.there.get(ticket, now))
        seconds = max(0.0, now - since) * max(1, self.workers)
        self._finished = now
        self.pace.saw(Batch([ticket], StopReason.DRAINED), seconds)
        self._faults = self._outs = 0
        return seconds

    def faulty(self, now: float) -> bool:
        """Count a fault; say whether it is left out for a while from now on."""
        self._faults += 1
        if self._faults < FAULTS:
            return False
        self._faults = 0
        self._out_until = now + min(FIRST_OUT_SECONDS * 2**self._outs, MOST_OUT_SECONDS)
        self._outs += 1
        return True

    def lose(self) -> None:
        """Give up all that it has."""
        if not self.lost.done():
            self.lost.set_result(None)

    def found(self) -> None:
        """Hear of it again."""
        self.silent_since = None
        if self.lost.done():
            self.lost = asyncio.get_running_loop().create_future()
