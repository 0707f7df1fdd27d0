"""What was seen at one look, and what may be believed of it. Pure."""

from __future__ import annotations

import math
from typing import NamedTuple

from alerts.scale.fleet import Fleet, Word
from lightmeter.scaling.signals import Observations, sound


class Look(NamedTuple):
    """What was seen, and when by a clock that never jumps."""

    seen: Observations
    fleet: Fleet | None
    at: float

    def aged(self, now: float) -> Observations:
        """Give the readings as old as they are ``now``, the replicas among them."""
        seen, elapsed = self.seen, max(0.0, now - self.at)
        known = {name for name in seen._fields[:-1] if getattr(seen, name) is not None} | {*seen.ages}  # fmt: skip
        ages = {name: seen.ages.get(name, 0.0) + elapsed for name in sorted(known)}
        if self.fleet is None:
            ages |= {"ready": math.inf, "starting": math.inf}
            return seen._replace(ready=None, starting=None, ages=ages)
        ages |= {"ready": elapsed, "starting": elapsed}
        flying, at_hand = seen.in_flight, self.fleet.in_flight
        if at_hand is not None and flying is not None:
            flying = max(flying, float(at_hand))
        ready, starting = float(self.fleet.ready), float(self.fleet.starting)
        return seen._replace(ready=ready, starting=starting, in_flight=flying, ages=ages)


def believed(fleet: Fleet, seen: Observations, before: Fleet | None, *, acts: bool) -> Fleet:
    """Put what the servers' workers say in the place of what a target cannot know.

    Of what was asked for those are ready that say so, one worker for each replica, and the others
    start; where no worker says anything, all are. Who only advises asks for nothing: what stands is
    what the workers say, and what they said ``before`` where nothing can be seen at all.
    """
    if fleet.word is Word.COUNTED or (acts and fleet.word is Word.IMAGINED):
        return fleet
    ready, starting = sound(seen.ready), sound(seen.starting) or 0.0
    if acts:
        serving = fleet.all if ready is None else min(fleet.all, int(ready))
        return fleet._replace(ready=serving, starting=fleet.all - serving)
    if ready is None and seen.in_flight is None:
        return before or fleet
    return fleet._replace(ready=int(ready or 0), starting=int(starting))
