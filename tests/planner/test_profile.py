"""When the demand is there: by hour, by day, for how much of the time."""

from __future__ import annotations

import numpy as np
import pytest

from planner import profile
from support import plans
from support.rows import DAY, every, row


HOUR = 3600.0


def test_hours() -> None:
    """Work from 9 to 10 on a Thursday is seen at that hour of that day, and an hour without history is unknown."""
    found = profile.block(plans.demand_of([row(9 * HOUR, HOUR)], days=1.0), 0.0)["by_hour"]

    assert (1.0, 0.0, 0.0) == (found[3][9], found[3][8], found[3][10])  # 2026-10-01 is a Thursday
    assert all(cell is None for cell in found[4])


def test_weeks() -> None:
    """An hour of the week that comes twice is the mean of both."""
    found = profile.block(plans.demand_of([row(9 * HOUR, HOUR)], days=14.0), 0.0)["by_hour"]

    assert 0.5 == found[3][9]


def test_days() -> None:
    """Each day has its mean; a day of which the history has little is left out."""
    found = profile.block(plans.demand_of([row(0.0, DAY / 2)], days=2.2), 0.0)["by_day"]

    assert [("2026-10-01", 0.5), ("2026-10-02", 0.0)] == [(one["date"], one["busy_gpus"]) for one in found]  # fmt: skip


def test_duration() -> None:
    """A GPU that is busy for a quarter of the time is seen for a quarter of the curve, which only falls."""
    found = profile.block(plans.demand_of([row(0.0, DAY / 4)], days=1.0), 0.0)["duration"]
    busy = [one["busy_gpus"] for one in found]

    assert (1.0, 1.0, 0.0) == (busy[0], busy[24], busy[27])
    assert busy == sorted(busy, reverse=True)


@pytest.mark.parametrize(("share", "gpus"), [(1.0, 0), (0.6, 1), (0.4, 1), (0.2, 2), (0.0, 3)])
def test_reserve(share: float, gpus: int) -> None:
    """A GPU is worth renting if it is in use for more of the time than rent over on-demand price."""
    busy = np.array([3.0, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0])  # 0.7, 0.3 and 0.1 of it

    assert gpus == profile.reserve(busy, share)


def test_nothing_negative() -> None:
    """Many short requests add up to what they are."""
    demand = plans.demand_of(every(100.0, 800), days=1.0)
    found = profile.block(demand, 0.0)

    assert pytest.approx(0.1 * 800 / 864, abs=0.001) == found["by_day"][0]["busy_gpus"]
