"""Whose turn it is: fair shares between flows that wait, without a reserved place for anyone.

Start-time fair queueing (Goyal, Vin and Cheng, 1996, https://doi.org/10.1145/248157.248171): each
flow has a tag, the work it has had divided by its weight; the least goes first. A flow that comes
back from idleness starts at the tag now served, so it is neither owed nor charged for its absence.
"""

from __future__ import annotations

import bisect
import heapq
import itertools
from collections.abc import Hashable, Iterable, Iterator
from typing import Generic, TypeVar

from inference.keys import Tenant
from inference.pace import Backlog
from inference.tickets import Ticket


F = TypeVar("F", bound=Hashable)


class Turns(Generic[F]):
    """The tags of flows. Those that wait are the caller's to know."""

    def __init__(self) -> None:
        self._tags: dict[F, float] = {}
        self._now = 0.0

    def join(self, flow: F) -> None:
        """Let a flow that was idle take part."""
        self._tags[flow] = max(self._tags.get(flow, 0.0), self._now)

    def served(self, flow: F, work: float, weight: float) -> None:
        """Charge a flow for what it was served."""
        self._now = max(self._now, self._tags[flow])
        self._tags[flow] += work / weight

    def tag(self, flow: F) -> float:
        """Work that a flow has had, by weight; the least is next."""
        return self._tags[flow]

    def forget(self) -> None:
        """Start afresh, for when nobody waits."""
        self._tags.clear()
        self._now = 0.0


class _Row:
    """One tenant's waiting requests, in order of arrival."""

    def __init__(self, weight: float) -> None:
        self.weight = weight
        self.tickets: list[Ticket] = []
        self.backlog = Backlog()


class FairLine:
    """Waiting requests of one priority: in order of arrival for a tenant, in turns between them."""

    def __init__(self) -> None:
        self._rows: dict[str | None, _Row] = {}
        self._turns: Turns[str | None] = Turns()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def put(self, ticket: Ticket) -> None:
        """Queue a request behind the tenant's earlier ones."""
        name = ticket.tenant.name
        if name not in self._rows:
            self._rows[name] = _Row(ticket.tenant.weight)
            self._turns.join(name)
        row = self._rows[name]
        bisect.insort(row.tickets, ticket, key=lambda one: one.arrived)
        row.backlog.add(ticket)
        self._count += 1

    def __iter__(self) -> Iterator[Ticket]:
        """Yield the requests in the order in which they would be served one by one."""
        order = itertools.count()
        heads = [
            (self._turns.tag(name), row.tickets[0].arrived, next(order), iter(row.tickets))
            for name, row in self._rows.items()
        ]
        heapq.heapify(heads)
        while heads:
            tag, _, place, rest = heads[0]
            ticket = next(rest, None)
            if ticket is None:
                heapq.heappop(heads)
                continue
            yield ticket
            tag += ticket.work / ticket.tenant.weight
            heapq.heapreplace(heads, (tag, ticket.arrived, place, rest))

    def take(self, tickets: Iterable[Ticket]) -> None:
        """Take requests out to be served, and charge their tenants."""
        for ticket in tickets:
            if self.drop(ticket):
                self._turns.served(ticket.tenant.name, ticket.work, ticket.tenant.weight)
        if not self._count:
            self._turns.forget()

    def drop(self, ticket: Ticket) -> bool:
        """Take a request out unserved; False where it does not wait here."""
        row = self._rows.get(ticket.tenant.name)
        if row is None or ticket not in row.tickets:
            return False
        row.tickets.remove(ticket)
        row.backlog.add(ticket, -1)
        self._count -= 1
        if not row.tickets:
            del self._rows[ticket.tenant.name]
        return True

    def waiting(self, name: str | None) -> int:
        """Count a tenant's requests."""
        return len(self._rows[name].tickets) if name in self._rows else 0

    def greediest(self, tenant: Tenant | None = None) -> Ticket | None:
        """Find the newest request of whoever holds the most places for its weight.

        With a ``tenant``, None where it would hold as many with one more.
        """
        held = {name: len(row.tickets) / row.weight for name, row in self._rows.items()}
        if not held:
            return None
        most = max(held, key=lambda name: held[name])
        if tenant and held[most] <= (self.waiting(tenant.name) + 1) / tenant.weight:
            return None
        return self._rows[most].tickets[-1]

    @property
    def backlogs(self) -> Iterator[tuple[str | None, float, Backlog]]:
        """Each tenant that waits, its weight, and what waits."""
        return ((name, row.weight, row.backlog) for name, row in self._rows.items())
