"""Alerts over a restart: how long each has been active is kept as a series and taken up again. Pure.

As Prometheus does, with its default tolerances (3.0, RestoreForState):
https://github.com/prometheus/prometheus/blob/main/rules/group.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from lightmeter.localprom.labels import NAME, Labels, nameless
from lightmeter.localprom.store import Match, Store, stale


FOR_STATE = "ALERTS_FOR_STATE"
"""Its value is when the alert became active, in Unix seconds."""
OUTAGE_MS = 3_600_000
"""After a longer time down an alert begins anew."""
GRACE_MS = 600_000
"""What an alert waits at least before it fires after a restart; one that waits less has no past."""


class Left(NamedTuple):
    """What a run before has left of an alert; Unix milliseconds."""

    seen_ms: int
    active_ms: int


def left(store: Store) -> Mapping[Labels, Left]:
    """Find the alerts that were active at the end, by their labels; ask before series are ended."""
    found = {}
    for series in store.select([Match(NAME, "=", FOR_STATE)]):
        times, values = series.read()
        if len(times) and not stale(values[-1:])[0]:
            found[nameless(series.labels)] = Left(int(times[-1]), round(float(values[-1]) * 1000))
    return found


def since(before: Left | None, for_ms: int, now_ms: int) -> int | None:
    """Say since when an alert that is active again counts as active; None where it has no past."""
    if before is None or for_ms < GRACE_MS or not 0 <= now_ms - before.seen_ms <= OUTAGE_MS:
        return None
    remaining = for_ms - (before.seen_ms - before.active_ms)
    if remaining <= 0:  # it fired
        return before.active_ms
    if remaining < GRACE_MS:
        return now_ms + GRACE_MS - for_ms
    return before.active_ms + now_ms - before.seen_ms
