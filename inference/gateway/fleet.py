"""All replicas: who is there, who is asked next. It is the crew that the queue's door reckons with."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable
from functools import partial

from inference.aside import keep_up
from inference.gateway.hop import Died, Unreachable, json_object
from inference.gateway.replica import Replica, least
from inference.gateway.upstreams import Resolver
from inference.pace import Pace
from inference.tickets import Batch, Ticket
from lightmeter.catalog import ReplicaState, StopReason, WorkerState


_log = logging.getLogger(__name__)
LOOK_SECONDS = 3.0
"""A replica whose health takes longer to tell has not told it."""
LOST_SECONDS = 15.0
"""One that was silent for so long, its address still known, is dead; what it had is asked elsewhere."""
OK = 200


class Fleet:
    """Follows the replicas. ``changed`` is called whenever one comes or goes."""

    def __init__(
        self, resolver: Resolver, *, each: int, probe: float, trust: ssl.SSLContext
    ) -> None:
        self._resolver, self._trust = resolver, trust
        self._each, self._probe = each, probe
        self.replicas: list[Replica] = []
        self.pace = Pace()
        self.changed: Callable[[], None] = lambda: None
        self.coming: Callable[[], float] = lambda: 0.0
        """Seconds until a first replica is expected, where none is ready."""
        self.empty_since: float | None = time.monotonic()
        self.looked = asyncio.Event()
        """Set once every upstream was looked at."""

    def best(self, now: float, avoid: frozenset[Replica] = frozenset()) -> Replica | None:
        """Choose who would be done first with one more request; None where nobody has room.

        Where nobody is left beside those to avoid, they are not avoided.
        """
        able = self.able_ones(now)
        able = [one for one in able if one not in avoid] or able
        place = least(one.load(self.pace, now) for one in able)
        return None if place is None else able[place]

    def able_ones(self, now: float) -> list[Replica]:
        """List those that may be asked. If all who are ready were ejected, that would help nobody."""
        ready = [one for one in self.replicas if one.ready and one.answers and one.listed]
        return [one for one in ready if one.state(now) is ReplicaState.READY] or ready

    def alive(self) -> list[Replica]:
        """List those that answer, ready or not: they have their jobs and pictures still."""
        return [one for one in self.replicas if one.answers]

    def states(self) -> dict[ReplicaState, int]:
        """Count replicas by state."""
        now = time.monotonic()
        found = [one.state(now) for one in self.replicas if one.listed]
        return {state: found.count(state) for state in ReplicaState}

    @property
    def able(self) -> int:
        """Workers that can serve."""
        return sum(max(1, one.workers) for one in self.able_ones(time.monotonic()))

    @property
    def hands(self) -> int:
        """The same, at least 1."""
        return max(1, self.able)

    def count(self, state: WorkerState, /) -> int:
        """Count workers in a state; of others than those that serve nothing is known here."""
        return self.able if state is WorkerState.READY else 0

    @property
    def asleep(self) -> bool:
        """Whether no replica is ready."""
        return not self.able

    @property
    def start_left(self) -> float | None:
        """Seconds until a replica is ready, as far as anybody knows."""
        return 0.0 if self.able else self.coming()

    @property
    def running(self) -> float:
        """Worker seconds that what is at the replicas will take."""
        return sum(self.pace.predict(ticket) for one in self.replicas for ticket in one.there)

    def finished(self, replica: Replica, ticket: Ticket) -> None:
        """Learn from an answer."""
        seconds = replica.finished(ticket, time.monotonic())
        self.pace.saw(Batch([ticket], StopReason.DRAINED), seconds)

    def unready(self, replica: Replica) -> None:
        """Hear from a request that a replica takes no more: at once, not at the next look."""
        replica.ready = False
        self._note()

    def unreachable(self, replica: Replica) -> None:
        """Hear from a request that it cannot be reached."""
        replica.ready = replica.answers = False
        self._note()

    async def follow(self) -> None:
        """Look at all upstreams again and again, until cancelled."""
        looks: dict[Replica, asyncio.Task[None]] = {}
        try:
            while True:
                await self._list()
                if not self.looked.is_set():
                    await asyncio.gather(*map(self.look, self.replicas))
                    self.looked.set()
                for one in self.replicas:
                    if one not in looks:
                        what = f"the look at {one.address}"
                        looks[one] = keep_up(what, partial(self._watch, one))
                for one in [one for one in looks if one not in self.replicas]:
                    looks.pop(one).cancel()
                self._note()
                await asyncio.sleep(self._probe)
        finally:
            for task in looks.values():
                task.cancel()

    async def _list(self) -> None:
        """Take in new addresses. One that is gone stays for as long as it has something to do."""
        addresses = await self._resolver.look()
        known = {one.address: one for one in self.replicas}
        for one in self.replicas:
            one.listed = one.address in addresses
        new = [
            Replica(address, self._each, self._trust)
            for address in addresses
            if address not in known
        ]
        for one in [one for one in self.replicas if not one.listed and not one.there]:
            self.replicas.remove(one)
            await one.line.close()
        self.replicas.extend(new)

    async def _watch(self, replica: Replica) -> None:
        while True:
            await self.look(replica)
            await asyncio.sleep(self._probe)

    async def look(self, replica: Replica) -> None:
        """Ask a replica whether it is ready."""
        before = replica.ready, replica.answers
        try:
            status, body = await replica.line.get(b"/readyz", LOOK_SECONDS)
            if status == OK and replica.name is None:
                _, version = await replica.line.get(b"/version", LOOK_SECONDS)
                replica.name = str(json_object(version).get("replica") or "")
        except (Unreachable, Died, TimeoutError) as error:
            replica.ready = replica.answers = False
            replica.name = None  # whoever comes back there may be another
            self._silence(replica, error)
        else:
            replica.found()
            replica.answers, replica.ready = True, status == OK
            replica.workers = _workers(body)
        if before != (replica.ready, replica.answers):
            _log.info("replica %s is %s", replica.address, replica.state(time.monotonic()))
            self._note()

    def _silence(self, replica: Replica, error: Exception) -> None:
        """Count how long nothing was heard; a refused connection says that nobody is there any more."""
        now = time.monotonic()
        replica.silent_since = now if replica.silent_since is None else replica.silent_since
        if now - replica.silent_since > LOST_SECONDS and replica.there:
            _log.warning("replica %s has not been heard of for %.0f s: %s", replica.address, now - replica.silent_since, error)  # fmt: skip
            replica.lose()

    def _note(self) -> None:
        able = bool(self.able_ones(time.monotonic()))
        if able:
            self.empty_since = None
        elif self.empty_since is None:
            self.empty_since = time.monotonic()
        self.changed()

    async def close(self) -> None:
        """Close the connections that are idle."""
        for one in self.replicas:
            await one.line.close()


def _workers(body: bytes) -> int:
    """Count the workers that can serve, as /readyz tells; 0 where it does not."""
    states = json_object(body).get("workers")
    if not isinstance(states, dict):
        return 0
    counts = (states.get(state.value) for state in (WorkerState.READY, WorkerState.BUSY))
    return sum(count for count in counts if isinstance(count, int))
