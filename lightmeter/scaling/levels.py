"""What is remembered of each replica, by its place in the fleet: when it fell idle, and the gaps."""

from __future__ import annotations

from typing import NamedTuple

from lightmeter.scaling import holds
from lightmeter.scaling.state import State, hold


class Levels(NamedTuple):
    """The part of a `State` that is about levels; its fields are described there."""

    used: int
    idle_since: tuple[float | None, ...]
    idle_in: tuple[int, ...]
    gaps: tuple[tuple[float, ...], ...]
    holds: tuple[float, ...]

    @classmethod
    def of(cls, state: State) -> Levels:
        """Take it out of a state."""
        return cls(state.used, state.idle_since, state.idle_in, state.gaps, state.holds)

    def crowd(self, level: int, users: float | None) -> int:
        """Name the crowd of now; where users cannot be seen, that of when the level was left."""
        return self.idle_in[level] if users is None else holds.crowd(level, users)


def remember(state: State, used: int, now: float, seen: tuple[float, float | None]) -> Levels:
    """Note the levels that fell idle, or that were wanted again; ``seen`` is a start, and users."""
    if used == state.used:
        return Levels.of(state)
    start, users = seen
    since, idle_in = list(state.idle_since), list(state.idle_in)
    gaps, kept = list(state.gaps), list(state.holds)
    for level in range(used, state.used):
        since[level] = now
        idle_in[level] = holds.crowd(level, users or 0.0)
    for level in range(state.used, used):
        idle = since[level]
        if idle is not None:
            place = idle_in[level]
            gaps[place] = holds.seen(gaps[place], now - idle)
            kept[place] = hold(state, place, gaps[place], start)
    return Levels(used, tuple(since), tuple(idle_in), tuple(gaps), tuple(kept))


def held(levels: Levels, current: int, now: float, users: float | None) -> int:
    """Keep the highest level that is used, or idle for less than its hold; never more than stand."""
    level = min(current, len(levels.idle_since))
    while level > levels.used:
        idle = levels.idle_since[level - 1]
        if idle is not None and now - idle < levels.holds[levels.crowd(level - 1, users)]:
            return level
        level -= 1
    return level
