"""What a scaler knew when it ended, from its last decision: a restart loses nothing of it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from alerts.scale.audit import newest
from lightmeter.errors import ScaleError
from lightmeter.scaling.decide import decide
from lightmeter.scaling.decision import inputs
from lightmeter.scaling.state import State, shifted


_log = logging.getLogger(__name__)


class Memory(NamedTuple):
    """What is known again."""

    state: State | None = None
    standing: int = 0
    """Replicas that the last decision left, for a target that does not say how many there are."""
    floor: float = 0.0
    """What alerts asked for at least; they are repeated to whoever comes next, but not at once."""
    until: float = 0.0
    """When those alerts lapse, if nobody repeats them; Unix seconds."""


def recall(folder: Path, target: str, *, now: float, lapse: float = 0.0) -> Memory:
    """Decide again as was decided last on this target; ``now`` is in Unix seconds.

    An alert is repeated within ``lapse`` seconds, and keeps its floor until then.

    While nobody looked no time has passed for idle replicas: whether they were used meanwhile is
    not known. The brake keeps its moment.
    """
    last = newest(folder, target)
    if last is None:
        return Memory()
    try:
        after = decide(*inputs(last)).after
        if last["result"] is None:
            _log.warning("decision %s (%s from %s to %s) has no result: the scaler was ended before it was known; what is wanted is decided anew", last["id"], last["action"], last["from"], last["to"])  # fmt: skip
        away = now - last["at"]
        floor = last["observed"].get("burn_floor", {}).get("value") or 0.0
        return Memory(shifted(after, away)._replace(frozen_until=after.frozen_until), _left(last), floor, last["at"] + lapse)  # fmt: skip
    except ScaleError as error:
        _log.warning("nothing is remembered: %s", error)
        return Memory()
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        _log.warning("the last decision cannot be read, and nothing is remembered: %r", error)
        return Memory()


def _left(last: Mapping[str, Any]) -> int:
    """Say how many stand after a decision: what it asked for, if that was done."""
    done = last["mode"] == "act" and last["result"] and not last["result"].startswith("failed")
    return int(last["to"] if done else last["from"])
