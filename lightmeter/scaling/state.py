"""What a scaler is set to and what it remembers; all of it goes into each decision's record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from lightmeter.scaling import holds, runs


class Settings(NamedTuple):
    """What is wanted. Times in seconds."""

    least: int = 0
    """Fewest replicas."""
    most: int = 8
    """Most replicas."""
    wait: float = 30.0
    """The longest wait that is no violation."""
    price: float = 900.0
    """What a violation is worth, in GPU-seconds: the one knob between cost and waiting."""
    violation_target: float = 0.0
    """Share of violations that the price is moved to keep; 0 leaves the price as it is."""
    headroom: float = 1.0
    """Times the forecast load that is staffed for."""
    turn_price: float = 400.0
    """What it is worth, in GPU-seconds, not to let a replica go and order it again."""
    hold_least: float = 60.0
    """The shortest hold of an idle replica."""
    cold_start: float = 180.0
    """What a start takes, as long as none was measured."""
    max_age: float = 60.0
    """Beyond it a reading is stale."""
    stale_hold: float = 900.0
    """So long the fleet is held without readings; then there are at least ``safe_floor``."""
    safe_floor: int = 1
    """Fewest replicas once ``stale_hold`` is over."""
    boot_timeout: float = 3.0
    """A start that takes so many times the usual does not count as capacity any more."""
    step_up: int = 0
    """Most replicas more in one decision; 0 is no limit."""
    step_down: int = 0
    """Most replicas fewer in one decision; 0 is no limit."""


class State(NamedTuple):
    """What is remembered from look to look. Moments are in seconds of the caller's clock."""

    settings: Settings
    """What was wanted at that moment."""
    target: int | None = None
    """What the last decision asked for."""
    used: int = 0
    """Replicas that the work at the last look kept busy, or that it needs."""
    idle_since: tuple[float | None, ...] = ()
    """By level, from the second replica on at index 1: when it was last used."""
    idle_in: tuple[int, ...] = ()
    """By level: the crowd that it was left in (`holds.crowd`)."""
    gaps: tuple[tuple[float, ...], ...] = ()
    """By crowd: how often a level was wanted again after how long (`holds.EDGES`)."""
    holds: tuple[float, ...] = ()
    """By crowd: how long a level is kept idle."""
    boots: tuple[float, ...] = ()
    """When the replicas that are starting were ordered, oldest first."""
    per_user: float = 0.0
    """Requests a second of an active user; 0 is not known yet."""
    pressure: float = 1.0
    """The price is multiplied by it, to keep the target."""
    looked_at: float | None = None
    """When it last looked."""
    stale_since: float | None = None
    """Since when a needed reading is missing."""
    frozen_until: float | None = None
    """When the brake lets go."""
    lowered_at: float | None = None
    """When it was last decided to have fewer, unless more were wanted since."""

    def record(self) -> dict[str, Any]:
        """Return what JSON can hold; a run of one value in a long list is ``[value, times]``."""
        packed = {name: runs.packed(getattr(self, name)) for name in _LONG}
        return {**self._asdict(), **packed, "settings": self.settings._asdict()}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> State:
        """Read what `record` wrote.

        Raises:
            ValueError: another release wrote it, and counted gaps otherwise.
        """
        if len(record["gaps"]) not in (0, holds.CROWDS):
            raise ValueError(
                f"{len(record['gaps'])} sets of gaps, not {holds.CROWDS}; an older release wrote it"
            )
        return cls(
            **{
                **record,
                "settings": Settings(**record["settings"]),
                **{name: tuple(runs.unpacked(record[name])) for name in _LONG},
                "holds": tuple(record["holds"]),
                "gaps": tuple(tuple(level) for level in record["gaps"]),
            }
        )


_LONG = ("idle_since", "idle_in", "boots")
"""As long as there may be replicas."""


def fresh(settings: Settings) -> State:
    """Begin to remember: the holds come from what is known of other services."""
    levels = settings.most
    state = State(
        settings=settings,
        idle_since=(None,) * levels,
        idle_in=(0,) * levels,
        gaps=(holds.PRIOR,) * holds.CROWDS,
    )
    return state._replace(holds=_priced(state))


def _priced(state: State) -> tuple[float, ...]:
    return tuple(
        hold(state, place, gaps, state.settings.cold_start) for place, gaps in enumerate(state.gaps)
    )


def hold(state: State, place: int, gaps: tuple[float, ...], cold_start: float) -> float:
    """Return how long a level is kept idle in a crowd with these gaps, seconds."""
    worth = miss(state, cold_start, last=holds.is_last(place))
    return holds.best(gaps, worth, state.settings.hold_least)


def adopt(state: State, settings: Settings) -> State:
    """Go on with other settings and what is remembered; levels that are new begin afresh.

    The gaps that were seen are priced anew, at once.
    """
    if settings == state.settings:
        return state
    new = fresh(settings)
    kept = min(len(state.idle_since), settings.most)
    after = state._replace(
        settings=settings,
        used=min(state.used, settings.most),
        idle_since=state.idle_since[:kept] + new.idle_since[kept:],
        idle_in=state.idle_in[:kept] + new.idle_in[kept:],
    )
    return after._replace(holds=_priced(after))


def shifted(state: State, seconds: float) -> State:
    """Move all that is remembered in time: after a jump of the clock no more has passed than has."""

    def moved(moment: float | None) -> float | None:
        return None if moment is None else moment + seconds

    return state._replace(
        idle_since=tuple(map(moved, state.idle_since)),
        boots=tuple(boot + seconds for boot in state.boots),
        looked_at=moved(state.looked_at),
        stale_since=moved(state.stale_since),
        frozen_until=moved(state.frozen_until),
        lowered_at=moved(state.lowered_at),
    )


def lateness(settings: Settings, cold_start: float) -> float:
    """Share of the time of a start in which those who come wait too long: 1 - wait / start."""
    return max(0.05, 1 - settings.wait / cold_start) if cold_start > 0 else 0.05


def miss(state: State, cold_start: float, *, last: bool) -> float:
    """What it costs, in GPU-seconds, that a level is let go and wanted again.

    The start, two changes of direction, and violations: those who come until it is over where
    nobody else serves, fewer where others do. Both numbers of them were chosen on GenTD26's requests; from half to
    twice of them the cost moves by 5 % at most (measured 2026-11).
    """
    late = MISSED_LAST if last else MISSED_OTHER
    settings = state.settings
    worth = settings.price * state.pressure * lateness(settings, cold_start)
    return cold_start + settings.turn_price + worth * late


MISSED_LAST, MISSED_OTHER = 2.0, 0.3
