"""What alerts say to a decision: some raise a floor, others say that what is seen is not all."""

from __future__ import annotations

import math

from alerts.levels import Level
from lightmeter import catalog
from lightmeter.catalog import Scaling
from lightmeter.scaling.signals import Observations


_DOUBTED = ("in_flight", "queued", "rate_short", "rate_long")


class Alerted:
    """The alerts that hold, and the floors that they ask for."""

    def __init__(self) -> None:
        self._kept = 0.0, 0.0
        self._levels: tuple[Level, ...] = ()
        self._floors: dict[str, int] = {}
        """By fingerprint of an alert that raises: one replica more than stood when it began."""

    def hold(self, levels: tuple[Level, ...]) -> bool:
        """Take over the alerts that hold now; say whether they are others than before."""
        before, self._levels = self._levels, levels
        return {level.fingerprint for level in before} != {level.fingerprint for level in levels}

    def keep(self, floor: float, until: float) -> None:
        """Keep a floor of alerts that were told to another scaler, ``until`` they would lapse."""
        self._kept = floor, until

    def seen(self, seen: Observations, standing: int, now: float) -> Observations:
        """Add to what is seen; ``standing`` replicas are there, ``now`` is of the levels' clock."""
        holding = [level for level in self._levels if now < level.until]
        raising = {level.fingerprint for level in holding if level.labels.get(catalog.SCALING_LABEL) == Scaling.RAISE}  # fmt: skip
        self._floors = {key: self._floors.get(key, standing + 1) for key in raising}
        floors = [float(floor) for floor in self._floors.values()]
        floors += [self._kept[0]] if now < self._kept[1] else []
        if any(floors):
            seen = seen._replace(burn_floor=max(floors))
        if any(level.labels.get(catalog.SCALING_LABEL) == Scaling.FREEZE for level in holding):
            seen = seen._replace(ages={**seen.ages, **dict.fromkeys(_DOUBTED, math.inf)})
        return seen
