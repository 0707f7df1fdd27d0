"""When a request would start: told from what waits, what runs, and the share of its flow.

A flow is a class and a tenant. It gets at least its weight's share of the workers
(`inference.fairness`), and more as long as the others ask for less than theirs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from inference.pace import Pace
from inference.tickets import Flow, Ticket
from inference.waiting import WaitingRoom


MEMORY_SECONDS = 10.0
"""What others ask for is measured over the last seconds, with weights that fall so fast."""
_IDLE = 0.01
"""Workers' worth of work below which a flow counts as idle."""


class Staff(Protocol):
    """Those who work."""

    @property
    def pace(self) -> Pace:
        """How long work takes."""
        ...

    @property
    def hands(self) -> int:
        """Workers that may work at the same time; at least 1."""
        ...

    @property
    def running(self) -> float:
        """Worker seconds that what runs will still take."""
        ...


@dataclass
class _Asked:
    """Work let in for one flow lately, in seconds of one worker."""

    weight: float
    since: float
    seconds: float = 0.0
    at: float = 0.0

    def left(self, now: float) -> float:
        return self.seconds * math.exp((self.at - now) / MEMORY_SECONDS)

    def rate(self, now: float) -> float:
        """Workers that it keeps busy."""
        known = max(now - self.since, 1.0) / MEMORY_SECONDS
        return self.left(now) / MEMORY_SECONDS / -math.expm1(-known)

    def add(self, seconds: float, now: float) -> None:
        if self.rate(now) < _IDLE:
            self.since, self.seconds = now, 0.0
        self.seconds, self.at = self.left(now) + seconds, now


class Forecast:
    """Seconds until a request would start. Times are seconds of one clock, passed in."""

    def __init__(self, queue: WaitingRoom, staff: Staff) -> None:
        self._queue = queue
        self._staff = staff
        self._asked: dict[Flow, _Asked] = {}

    def admitted(self, ticket: Ticket, now: float) -> None:
        """Take note of a request that is let in."""
        asked = self._asked.setdefault(ticket.flow, _Asked(ticket.tenant.weight, now))
        asked.add(self._staff.pace.predict(ticket), now)

    def wait(self, ticket: Ticket, now: float) -> float:
        """Tell how long a request would wait if it were let in now.

        The least of two: its own flow's backlog at its guaranteed share; the whole backlog at what
        the other flows' new requests leave.
        """
        pace, hands = self._staff.pace, self._staff.hands
        seconds = {flow: backlog.seconds(pace) for flow, _, backlog in self._queue.backlogs()}
        by_share = seconds.get(ticket.flow, 0.0) / self.share(ticket, now)
        left = hands - sum(
            asked.rate(now) for flow, asked in self._asked.items() if flow != ticket.flow
        )
        by_rest = sum(seconds.values()) * hands / left if left > 0 else math.inf
        return (self._staff.running + min(by_share, by_rest)) / hands * pace.caution

    def share(self, ticket: Ticket, now: float) -> float:
        """Tell the guaranteed share of a request's flow, 0..1, beside those that are active now."""
        weights = {flow: weight for flow, weight, _ in self._queue.backlogs()}
        weights |= {flow: a.weight for flow, a in self._asked.items() if a.rate(now) > _IDLE}
        weights[ticket.flow] = ticket.tenant.weight
        classes = self._queue.weights
        between = sum(classes[priority] for priority in {priority for priority, _ in weights})
        within = sum(weight for (p, _), weight in weights.items() if p is ticket.priority)
        return classes[ticket.priority] / between * ticket.tenant.weight / within

    def place_seconds(self, ticket: Ticket, now: float) -> float:
        """Tell how often a place gets free for a request's flow."""
        return self._staff.pace.seconds_per_request / self._staff.hands / self.share(ticket, now)
