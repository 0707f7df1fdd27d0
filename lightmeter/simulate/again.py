"""Recorded decisions, decided again under other settings: what they would have asked for. Pure.

The demand is what was recorded. The replicas are not: those that the decisions ask for are followed,
each ready after the start that was measured then, so that two settings are compared on fleets of
their own. Waits, queues and violations stay as they were seen: with fewer replicas they would have
been longer, which only `lightmeter simulate` can tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from lightmeter.scaling.decide import decide
from lightmeter.scaling.decision import Decision, inputs
from lightmeter.scaling.signals import Observations
from lightmeter.scaling.state import Settings, State, adopt
from lightmeter.simulate.score import HOUR, reversals


LONGEST_GAP = 600.0
"""Seconds between two decisions; beyond it nobody looked, and nothing is counted."""
Change = Callable[[Settings], Settings]


class Look(NamedTuple):
    """One recorded decision, as it was, as its own settings ask for now, and as others do."""

    at: float
    id: str
    standing: float
    """Replicas that were seen, ready and starting."""
    as_set: Decision
    other: Decision


class Run:
    """Decides on and on, with a fleet that does what is asked for."""

    def __init__(self, state: State, replicas: int, at: float) -> None:
        self.state = state
        self._ready = [at] * replicas

    def look(self, record: Mapping[str, Any], settings: Settings) -> Decision:
        """Decide on a recorded look."""
        before, seen, now = inputs(record)
        self.state = adopt(self.state, settings)._replace(frozen_until=before.frozen_until)
        decision = decide(self.state, self._own(seen, now), now)
        self.state = decision.after
        start = seen.cold_start_seconds or settings.cold_start
        self._ready.sort()
        del self._ready[decision.to :]
        self._ready += [now + start] * (decision.to - len(self._ready))
        return decision

    def _own(self, seen: Observations, now: float) -> Observations:
        """Show its own fleet where the recorded one could be seen; what is unseen stays so."""
        ready = sum(one <= now for one in self._ready)
        return seen._replace(
            ready=None if seen.ready is None else ready,
            starting=None if seen.starting is None else len(self._ready) - ready,
        )


def looks(records: Iterable[Mapping[str, Any]], change: Change) -> list[Look]:
    """Decide on the records of one target again, in their order, as set and with a change.

    Raises:
        KeyError, TypeError, ValueError: a record lacks what it was made from.
    """
    found: list[Look] = []
    runs: tuple[Run, Run] | None = None
    for record in records:
        before, seen, now = inputs(record)
        standing = (seen.ready or 0.0) + (seen.starting or 0.0)
        if runs is None:
            runs = Run(before, int(standing), now), Run(before, int(standing), now)
        settings = before.settings
        as_set, other = runs[0].look(record, settings), runs[1].look(record, change(settings))
        found.append(Look(now, record["id"], standing, as_set, other))
    return found


def summary(found: list[Look]) -> dict[str, Any]:
    """Say how many GPU-hours and changes each would have been, over the time that was looked at."""
    at = np.asarray([one.at for one in found])
    spans = np.diff(at, append=at[-1:])
    seen = np.where((spans > 0) & (spans <= LONGEST_GAP), spans, 0.0)
    kinds = {
        "standing": [one.standing for one in found],
        "as_set": [float(one.as_set.to) for one in found],
        "other": [float(one.other.to) for one in found],
    }
    return {
        "decisions": len(found),
        "hours": float(seen.sum()) / HOUR,
        "different": sum(one.as_set.to != one.other.to for one in found),
        **{name: _held(at, np.asarray(values), seen) for name, values in kinds.items()},
    }


def _held(
    at: np.ndarray[Any, Any], replicas: np.ndarray[Any, Any], seen: np.ndarray[Any, Any]
) -> dict[str, Any]:
    steps = np.diff(replicas)
    moves = np.stack([at[1:][steps != 0], steps[steps != 0]], axis=1)
    return {
        "gpu_hours": float(replicas @ seen) / HOUR,
        "operations": len(moves),
        "reversals": reversals(moves),
        "most": int(replicas.max(initial=0.0)),
    }
