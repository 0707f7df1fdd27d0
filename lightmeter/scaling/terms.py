"""The terms of the decision, each a number of replicas from what is seen. Pure."""

from __future__ import annotations

import math

from lightmeter.catalog import Term
from lightmeter.scaling import holds, staffing
from lightmeter.scaling.decision import Votes
from lightmeter.scaling.signals import NEEDED, Observations, sound
from lightmeter.scaling.state import State, lateness


SHORT_SHARE = 0.5
"""Of the two-minute rate in the forecast, the rest is the fifteen-minute one, where that is lower."""
USER_WEIGHT = 0.005
"""Of a look in the running mean of what an active user asks for."""
USER_SHARE = 0.7
"""Of what the active users would ask for in the forecast; with 1 the short silences of many users
are staffed for (0 to 1 move the cost by 2 % at most, GenTD26 before 2024-11-26, measured 2026-11)."""
SPARE = 0.25
"""Of its hold, that a replica started for the queue stays idle afterwards, as it is priced: most
gaps are short. A half does as well (GenTD26 before 2024-11-26, measured 2026-11)."""
BACK = 0.25
"""Of the price of a turn, that going up costs where the fleet went down a moment ago; the same."""
SOON = 900.0
"""A change of direction sooner than this after the last change, seconds, is a turn."""
SHORTEST, LONGEST_QUEUE = 0.001, 10_000.0
"""Shorter services, seconds, and longer queues are reckoned with as these."""
LONGEST_STEP = 3600.0
"""Seconds between two looks that the price moves for."""
PRESSURE_DAY, PRESSURE_RANGE = 86_400.0, (1.0, 16.0)
"""A day at twice the target's violations multiplies the price by e, within the range: a target
raises the price that is set and never lowers it, as what is saved on two quiet days is lost on the
third (starts of 20 s on generated demand: 2.5 % instead of 2 with a range from 0.5, 2026-11)."""


def unusable(state: State, seen: Observations) -> list[str]:
    """Name the needed readings that are missing, stale, not a number, infinite or negative."""
    needed = seen.ready, seen.starting, seen.in_flight, seen.queued, seen.rate_short, seen.rate_long
    infinity = math.inf
    found = [
        name
        for name, value in zip(NEEDED, needed, strict=True)
        if value is None or not 0 <= value < infinity
    ]
    if seen.ages:
        oldest = state.settings.max_age
        found += [name for name in NEEDED if not seen.ages.get(name, 0.0) <= oldest]
    return found


def fresh(state: State, seen: Observations, name: str) -> float | None:
    """Return a reading that may be missing: None where it is unusable or stale."""
    if seen.ages and not seen.ages.get(name, 0.0) <= state.settings.max_age:
        return None
    return sound(getattr(seen, name))


def standing(state: State, seen: Observations) -> int:
    """Tell how many replicas there are; where that cannot be seen, what was asked for last."""
    ready, starting = fresh(state, seen, "ready"), fresh(state, seen, "starting")
    if ready is None or starting is None:
        return state.settings.least if state.target is None else state.target
    return int(ready + starting)


def cold_start(state: State, seen: Observations) -> float:
    """Take the measured start, or the one set."""
    measured = fresh(state, seen, "cold_start_seconds")
    return measured or state.settings.cold_start


def demand(state: State, seen: Observations, start: float, now: float) -> tuple[Votes, float]:
    """Let the terms vote that look at the work; also return what a user asks for, per second."""
    long = seen.rate_long or 0.0
    votes: Votes = {Term.WAKE: 1 if seen.in_flight else 0}
    users = fresh(state, seen, "active_users")
    per_user = state.per_user
    if users:
        asked = long / users
        per_user = per_user + USER_WEIGHT * (asked - per_user) if per_user else asked
    service = fresh(state, seen, "service_seconds")
    if not service:
        return votes, per_user
    scv = fresh(state, seen, "service_scv")
    work = max(service, SHORTEST), 1.0 if scv is None else scv
    rate = max(long, SHORT_SHARE * (seen.rate_short or 0.0) + (1 - SHORT_SHARE) * long)
    votes[Term.STAFFING] = _staff(state, rate, work, start)
    if users:
        votes[Term.USERS] = _staff(state, USER_SHARE * users * per_user, work, start)
    if seen.queued:
        back = state.lowered_at is not None and now - state.lowered_at < SOON
        turn = BACK * state.settings.turn_price if back else 0.0
        votes[Term.BACKLOG] = _backlog(state, seen, (work[0], start, turn))
    return votes, per_user


def _staff(state: State, rate: float, work: tuple[float, float], start: float) -> int:
    """Staff for the work offered: the number at which one more costs more than it saves."""
    settings = state.settings
    service, scv = work
    worth = settings.price * state.pressure * lateness(settings, start)
    return staffing.staff(
        rate * service * settings.headroom,
        worth=worth / service,
        patience=settings.wait / service,
        scv=scv,
        most=settings.most,
    )


def _backlog(state: State, seen: Observations, costs: tuple[float, float, float]) -> int:
    """Ask for what still helps those who wait; ``costs`` are a service, a start and a turn.

    Where a start is shorter than the allowed wait: as many as save more violations than they
    cost. Else only where the queue would last longer than a start and the allowed wait.
    """
    settings = state.settings
    service, start, _ = costs
    ready, starting = int(seen.ready or 0), int(seen.starting or 0)
    queued = math.ceil(min(seen.queued or 0.0, LONGEST_QUEUE))
    if not ready + starting:
        return 0
    if start < settings.wait:
        return ready + _rescuers(state, (queued, ready, starting), costs, seen.active_users or 0.0)
    together = start + settings.wait
    lasts = queued * service
    return math.ceil(lasts / together) if lasts > together * (ready + starting) else 0


def _rescuers(
    state: State, fleet: tuple[int, int, int], costs: tuple[float, float, float], users: float
) -> int:
    queued, ready, starting = fleet
    service, start, turn = costs
    settings = state.settings
    spare = SPARE * state.holds[holds.crowd(ready + starting, users)]
    price = settings.price * state.pressure

    def cost(more: int) -> float:
        late = staffing.rescue(
            queued, ready, more=more, wait=settings.wait, start=start, service=service
        )
        return more * (start + spare) + (turn if more > starting else 0.0) + price * late

    return min(
        range(starting, max(starting, min(settings.most - ready, starting + queued)) + 1), key=cost
    )


def raise_floor(votes: Votes, seen: Observations) -> None:
    """Let a burn-rate alert ask for a least number; it is a vote, so it can only raise."""
    floor = seen.burn_floor
    if floor is not None and 0 < floor < math.inf:
        votes[Term.BURN_RATE] = math.ceil(floor)


def pressure(state: State, seen: Observations, now: float) -> float:
    """Move the price with the violations that happened, so that their share comes to the target."""
    target = state.settings.violation_target
    if not target or state.looked_at is None:
        return state.pressure
    ratio = fresh(state, seen, "violation_ratio")
    if ratio is None:
        return state.pressure
    days = min(max(0.0, now - state.looked_at), LONGEST_STEP) / PRESSURE_DAY
    low, high = PRESSURE_RANGE
    moved = state.pressure * math.exp(days * min(2.0, ratio / target - 1))
    return min(max(moved, low), high)
