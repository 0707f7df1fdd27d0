"""What a scaler sees: the fleet, the requests, and how old each reading is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple


NO_AGES: Mapping[str, float] = MappingProxyType({})


class Observations(NamedTuple):
    """One look at the target; None is what nobody could tell, which is never zero.

    Rates are per second, times in seconds. A reading that is missing in ``ages`` is fresh.
    """

    ready: float | None
    """Replicas that can serve."""
    starting: float | None
    """Replicas ordered and not yet ready."""
    in_flight: float | None
    """Requests that wait or are being served."""
    queued: float | None
    """Those of them that wait."""
    rate_short: float | None
    """Arrivals over the last two minutes, refused ones too."""
    rate_long: float | None
    """The same over fifteen minutes."""
    active_users: float | None = None
    """Distinct users seen in the last five minutes."""
    service_seconds: float | None = None
    """Mean time on a replica, recent requests."""
    service_scv: float | None = None
    """Squared coefficient of variation of that time."""
    cold_start_seconds: float | None = None
    """From ordering a replica to its being ready, as measured."""
    violation_ratio: float | None = None
    """Share of the requests of the last two days that waited longer than they may."""
    burn_floor: float | None = None
    """Replicas that a firing burn-rate alert asks for at least."""
    concurrency: float | None = None
    """Requests in flight, mean since the last look."""
    busy: float | None = None
    """Replicas at work, mean since the last look."""
    latency_seconds: float | None = None
    """From arrival to answer, mean over the last five minutes."""
    ages: Mapping[str, float] = NO_AGES
    """Seconds since each reading was taken, by its name here."""

    def _readings(self) -> list[tuple[str, float | None]]:
        return [(name, getattr(self, name)) for name in self._fields if name != "ages"]

    def record(self) -> dict[str, dict[str, float | None]]:
        """Return the readings that were asked for, as a decision's record has them."""
        return {
            name: {"value": sound(value), "age_seconds": sound(self.ages.get(name, 0.0))}
            for name, value in self._readings()
            if sound(value) is not None or self.ages.get(name) or name in NEEDED
        }

    @classmethod
    def from_record(cls, observed: Mapping[str, Mapping[str, Any]]) -> Observations:
        """Read what `record` wrote; a name that is not there was not asked for."""
        values = {name: observed.get(name, {}).get("value") for name in cls._fields[:-1]}
        ages = {name: _age(one["age_seconds"]) for name, one in observed.items()}
        ages = {name: age for name, age in ages.items() if age}
        return cls(**values, ages=ages)


NEEDED = ("ready", "starting", "in_flight", "queued", "rate_short", "rate_long")
"""Readings without which nothing may be scaled down."""


def _age(recorded: float | None) -> float:
    """Take an age that nobody could tell for endless."""
    return math.inf if recorded is None else float(recorded)


def sound(value: float | None) -> float | None:
    """Return a reading, or None where it is missing, not a number, infinite or negative."""
    if value is None or not math.isfinite(value) or value < 0:
        return None
    return value
