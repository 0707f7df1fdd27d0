"""Which replica has a job, a picture or a request: by its name where it carries one, else by asking."""

from __future__ import annotations

import re
from collections import OrderedDict

from inference.gateway.fleet import Fleet
from inference.gateway.replica import Replica
from inference.jobs import replica_of


MOST_KNOWN = 50_000
_STEM = re.compile(r"img_[0-9a-f]{24}", re.ASCII)


class Finder:
    """Remembers where ids of late answers came from, and says whom to ask first."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._known: OrderedDict[str, Replica] = OrderedDict()

    def saw(self, names: set[str], replica: Replica) -> None:
        """Remember ids of a replica's answer."""
        for name in names:
            self._known[name] = replica
            self._known.move_to_end(name)
        while len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)

    def job(self, name: str) -> list[Replica] | None:
        """List who may have a job; empty where none is there now, None where it is no job's id."""
        replica = replica_of(name)
        if replica is None:
            return None
        return [one for one in self._fleet.alive() if one.name == replica]

    def holders(self, text: str) -> list[Replica]:
        """List whom to ask for what has this id, the likeliest first."""
        match = _STEM.search(text)
        first = self._known.get(match[0]) if match else None
        return sorted(self._fleet.alive(), key=lambda one: one is not first)

    @property
    def incomplete(self) -> bool:
        """Whether a replica that there should be does not answer, or was not asked its name yet."""
        return any(
            one.listed and (not one.answers or one.name is None) for one in self._fleet.replicas
        )
