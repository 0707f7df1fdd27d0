"""How long an idle replica is worth keeping: the returns to its like, weighed against a start.

Work takes the lowest level that is free, so each level is idle in gaps of its own, and can be
priced alone (last-empty-server-first; Lu and Chen, https://arxiv.org/abs/1112.0442). With h the
hold and m what a return finds missing costs, a gap g costs min(g, h), and m where g > h. The best h
for the gaps seen lately is searched among `EDGES`; it is the break-even rule where nothing is known
of the gaps, and never worse than it for those seen.

What tells a short gap from a long one is how many users are there for a level: of the gaps of a
minute that the second replica has in GenTD26's first eleven days, 32 % end within five minutes
more with one user there, 76 % with four or five, 93 % with six to eight (counted 2026-11). So gaps
are counted by that, the crowd, and not by level.
"""

from __future__ import annotations

from bisect import bisect


EDGES = (
    30.0,
    60.0,
    90.0,
    120.0,
    180.0,
    240.0,
    300.0,
    420.0,
    600.0,
    900.0,
    1200.0,
    1800.0,
    2700.0,
    3600.0,
    5400.0,
    7200.0,
    10_800.0,
    14_400.0,
)
"""Upper ends of the classes of gaps, seconds; one more class holds what is longer."""
PRIOR = (
    1.5,
    1.2,
    0.9,
    0.8,
    1.0,
    0.7,
    0.5,
    0.6,
    0.6,
    0.5,
    0.3,
    0.3,
    0.2,
    0.2,
    0.1,
    0.2,
    0.2,
    0.1,
    0.1,
)
"""What is believed before anything is seen, as ten gaps: a service's users mostly come back within
300 s (84 % in GenTD26's sessions, median 73 s), or not for hours."""
FADE = 0.99
"""Each gap seen makes those before it count so much less."""
USERS_LAST = 1.5, 2.5, 3.5
"""Lower ends of the crowds of the last replica, active users; one more crowd holds fewer."""
USERS_EACH = 1.0, 1.5, 2.0, 3.0, 4.5
"""The same of the others: active users for each replica up to this one."""
CROWDS = len(USERS_LAST) + len(USERS_EACH) + 2
MIDDLE = 0.8
"""Where in its class a gap is taken to lie, as a share of the upper end."""
_SPAN = 3 * 86_400.0
"""A longer gap says nothing: the service was off."""


def crowd(level: int, users: float) -> int:
    """Name the crowd of a level, the last replica being 0, by its place among all `CROWDS`."""
    if level == 0:
        return bisect(USERS_LAST, users)
    return len(USERS_LAST) + 1 + bisect(USERS_EACH, users / (level + 1))


def is_last(place: int) -> bool:
    """Tell whether a crowd is one of the last replica's."""
    return place <= len(USERS_LAST)


def seen(gaps: tuple[float, ...], gap: float) -> tuple[float, ...]:
    """Count a gap of so many seconds in; weights have four decimals, as each record holds them all."""
    if gap > _SPAN:
        return gaps
    place = next((i for i, edge in enumerate(EDGES) if gap <= edge), len(EDGES))
    return tuple([round(weight * FADE, 4) + (i == place) for i, weight in enumerate(gaps)])


def best(gaps: tuple[float, ...], miss: float, least: float) -> float:
    """Return the hold, seconds, that would have cost least; ``miss`` is in GPU-seconds."""
    left = sum(gaps)
    idle, hold, lowest = 0.0, 0.0, left * miss
    for edge, weight in zip(EDGES, gaps, strict=False):
        idle += edge * MIDDLE * weight
        left -= weight
        cost = idle + left * (edge + miss)
        if cost < lowest:
            lowest, hold = cost, edge
    return max(hold, least)
