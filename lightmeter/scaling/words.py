"""Why a decision came out as it did, in a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightmeter.catalog import Term
from lightmeter.scaling.levels import Levels
from lightmeter.scaling.terms import cold_start, fresh, unusable


if TYPE_CHECKING:
    from lightmeter.scaling.decision import Decision


def reason(decision: Decision) -> str:
    """Say what decided, with the numbers that it looked at."""
    verb = {"up": "from {0} up to {1}", "down": "from {0} down to {1}"}.get(
        decision.action, "{1} stay"
    )
    return f"{verb.format(decision.current, decision.to)}: {_because(decision)}"


def _because(decision: Decision) -> str:
    seen, settings, term = decision.seen, decision.before.settings, decision.chosen_term
    start = cold_start(decision.before, seen)
    hold = _hold(decision)
    return {
        Term.STAFFING: f"{seen.rate_long or 0:.3g} requests/s of {seen.service_seconds or 0:.3g} s offered, of whom few may wait more than {settings.wait:g} s",
        Term.USERS: f"{seen.active_users or 0:g} active users, who ask {decision.after.per_user:.2g} times a second each",
        Term.BACKLOG: f"{seen.queued or 0:g} wait, and a start of {start:g} s still helps them",
        Term.WAKE: f"{seen.in_flight or 0:g} in flight need one at least",
        Term.HOLD: f"in use, or idle for less than the {hold:g} s that keeping it is worth",
        Term.LAST_REPLICA: f"the last one is in use, or idle for less than the {hold:g} s that keeping it is worth",
        Term.SLEEP: "nobody asks, and keeping one idle costs more than a start",
        Term.BURN_RATE: f"an alert asks for {seen.burn_floor or 0:g} at least",
        Term.BOOT_TIMEOUT: f"a start takes longer than {settings.boot_timeout * start:g} s and does not count",
        Term.BOUNDS: f"the bounds are {settings.least} and {settings.most}",
        Term.RATE_LIMIT: f"at most {settings.step_up or 'any number'} up and {settings.step_down or 'any number'} down at a time",
        Term.STALE: f"held, since {', '.join(dict.fromkeys(unusable(decision.before, seen)))} cannot be seen",
        Term.SAFE_FLOOR: f"nothing could be seen for {settings.stale_hold:g} s, so the safe floor is kept",
        Term.FREEZE: "frozen by hand",
    }[term]


def _hold(decision: Decision) -> float:
    """Return how long the highest replica that is kept is kept idle, seconds."""
    known = Levels.of(decision.after)
    if not 0 < decision.to <= len(known.idle_in):
        return 0.0
    users = fresh(decision.before, decision.seen, "active_users")
    return known.holds[known.crowd(decision.to - 1, users)]
