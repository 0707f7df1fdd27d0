"""The decision: how many replicas there should be, from what is seen and what is remembered. Pure.

Terms vote for a number each; the greatest wins. Nothing here reads a clock, a file or a metric, so
that the live loop, the alert hook and the simulator share it, and a record can be recomputed.
"""

from __future__ import annotations

import math

from lightmeter.catalog import Term
from lightmeter.scaling import levels, terms
from lightmeter.scaling.decision import Decision, Votes
from lightmeter.scaling.signals import Observations
from lightmeter.scaling.state import State


MOST_BOOTS = 10_000
"""More starts than these are not remembered one by one."""


def decide(state: State, seen: Observations, now: float) -> Decision:
    """Decide on an absolute number of replicas; ``now`` is in seconds of the caller's clock.

    A reading that is missing, stale, not a number or negative is never taken for zero: without
    the readings of `signals.NEEDED` the fleet is held, and may only grow.
    """
    if state.frozen_until is not None and now < state.frozen_until:
        return _frozen(state, seen, now)
    if terms.unusable(state, seen):
        return _blind(state, seen, now)
    ready, starting, flying = int(seen.ready or 0), int(seen.starting or 0), seen.in_flight or 0.0
    current = ready + starting
    start = terms.cold_start(state, seen)
    votes, per_user = terms.demand(state, seen, start, now)
    users = terms.fresh(state, seen, "active_users")
    used = min(state.settings.most, max(math.ceil(flying), *votes.values()))
    known = levels.remember(state, used, now, (start, users))
    held = levels.held(known, current, now, users)
    votes[Term.LAST_REPLICA if held == 1 else Term.HOLD] = held
    terms.raise_floor(votes, seen)
    boots = _boots(state.boots, starting, now)
    chosen, to = _limited(
        state, votes, (ready, starting), _stuck(boots, now, state.settings.boot_timeout * start)
    )
    after = State(
        state.settings,
        to,
        *known,
        _ordered(boots, to - current, now),
        per_user,
        terms.pressure(state, seen, now),
        now,
        lowered_at=_lowered(state, current, to, now),
    )
    return Decision(now, seen, state, votes, chosen, current, to, after)


def _lowered(state: State, current: int, to: int, now: float) -> float | None:
    """Note a step down, until one up; what was asked for counts, whatever came of it."""
    before = current if state.target is None else state.target
    if to == before:
        return state.lowered_at
    return now if to < before else None


def _limited(state: State, votes: Votes, fleet: tuple[int, int], stuck: int) -> tuple[Term, int]:
    """Take the greatest vote within the bounds; ``stuck`` of those that start do not count."""
    settings = state.settings
    current = sum(fleet)
    chosen, to = Term.SLEEP, 0
    for term, vote in votes.items():
        if vote > to:
            chosen, to = term, vote
    if stuck and to > fleet[0]:
        votes[Term.BOOT_TIMEOUT] = to = to + stuck
        chosen = Term.BOOT_TIMEOUT
    if not settings.least <= to <= settings.most:
        votes[Term.BOUNDS] = to = min(max(to, settings.least), settings.most)
        chosen = Term.BOUNDS
    if settings.step_up or settings.step_down:
        low = current - (settings.step_down or current)
        high = current + (settings.step_up or settings.most)
        if not low <= to <= high:
            votes[Term.RATE_LIMIT] = to = min(max(to, low), high)
            chosen = Term.RATE_LIMIT
    return chosen, to


def _boots(boots: tuple[float, ...], starting: int, now: float) -> tuple[float, ...]:
    """Match the starts that are remembered with those seen: the oldest are ready first."""
    starting = min(starting, MOST_BOOTS)
    known = boots[len(boots) - starting :] if starting < len(boots) else boots
    return known if len(known) == starting else (*known, *(now,) * (starting - len(known)))


def _ordered(boots: tuple[float, ...], more: int, now: float) -> tuple[float, ...]:
    """Add what is ordered now, or take away what is let go: starts go first, the latest ones."""
    if more > 0:
        return (*boots, *(now,) * more)
    return boots[: max(0, len(boots) + more)] if more else boots


def _stuck(boots: tuple[float, ...], now: float, longest: float) -> int:
    """Count the starts that take too long to believe in."""
    return sum([now - ordered > longest for ordered in boots]) if boots else 0


def _frozen(state: State, seen: Observations, now: float) -> Decision:
    current = terms.standing(state, seen)
    votes: Votes = {Term.FREEZE: current}
    after = state._replace(target=current, looked_at=now)
    return Decision(now, seen, state, votes, Term.FREEZE, current, current, after)


def _blind(state: State, seen: Observations, now: float) -> Decision:
    """Hold what stands; after `Settings.stale_hold` keep the safe floor. Alerts may still raise."""
    settings = state.settings
    since = now if state.stale_since is None else min(state.stale_since, now)
    current = terms.standing(state, seen)
    votes: Votes = {Term.STALE: current}
    if now - since >= settings.stale_hold:
        votes[Term.SAFE_FLOOR] = settings.safe_floor
    terms.raise_floor(votes, seen)
    chosen, to = max(votes.items(), key=lambda vote: vote[1])
    if to > settings.most and to > current:
        votes[Term.BOUNDS] = to = max(settings.most, current)
        chosen = Term.BOUNDS
    after = state._replace(target=to, looked_at=now, stale_since=since)
    return Decision(now, seen, state, votes, chosen, current, to, after)
