"""Histories made of the days of another, and options replayed on them."""

from __future__ import annotations

import numpy as np
import pytest

from planner import retrace
from planner.options import dedicated, shared
from support import plans
from support.plans import demand_of, draws_of, terms
from support.rows import DAY, every, row


def test_days_in_order() -> None:
    """Played in their own order the days give the history that they are from."""
    demand = demand_of([row(at * 5000.0, 20.0 + at % 7) for at in range(160)], days=10)
    draws = draws_of(demand)
    found, rows = retrace.resampled(demand, draws, np.arange(10))

    assert demand.arrivals.tolist() == pytest.approx(found.arrivals.tolist())
    assert demand.seconds.tolist() == found.seconds.tolist()
    assert list(range(160)) == rows.tolist()
    assert demand.end == found.end


def test_a_day_again() -> None:
    """A day that is drawn three times comes three times, a day apart, and the others not at all."""
    demand = demand_of([row(day * DAY + 100.0 * day, 10.0) for day in range(10)], days=10)
    found, rows = retrace.resampled(demand, draws_of(demand), np.array([4, 4, 7, 4]))

    assert [4, 4, 7, 4] == rows.tolist()
    assert [400.0, DAY + 400, 2 * DAY + 700, 3 * DAY + 400] == pytest.approx(
        found.arrivals.tolist()
    )
    assert 4 * DAY == found.span_seconds


def test_order_holds_the_draw() -> None:
    """Each resample plays the days that it drew, in the same order every time it is asked."""
    demand = demand_of(every(3600.0, 240), days=10)
    draws = draws_of(demand, resamples=20)
    for resample in range(20):
        days = retrace.order(draws, resample, seed=1)
        assert draws.weights[resample].tolist() == np.bincount(days, minlength=10).tolist()
        assert days.tolist() == retrace.order(draws, resample, seed=1).tolist()


def test_attainment() -> None:
    """Where a bad day holds all that is late, its share follows how often the day is drawn."""
    quiet = [row(day * DAY + 3600.0 * k, 10.0) for day in range(1, 10) for k in range(20)]
    bad = [row(3600.0 * k + n, 10.0) for k in range(10) for n in range(2)]
    demand = demand_of([*bad, *quiet], days=10)
    draws = draws_of(demand, resamples=30)
    option = dedicated(demand, draws, terms(5.0, max_gpus=1))
    found = retrace.attainment(option, demand, draws, terms(5.0, max_gpus=1), seed=3)

    assert 1 - draws.weights[:, 0] * 10 / 200 == pytest.approx(found)


def test_cannot_be_replayed() -> None:
    """An option that was made by hand says that it cannot be replayed."""
    demand = demand_of(every(3600.0, 240), days=10)
    draws = draws_of(demand)
    option = plans.option(shared(demand, draws, terms()).kind, np.ones(10))

    with pytest.raises(ValueError, match="one shared pool cannot be replayed"):
        retrace.attainment(option, demand, draws, terms(), seed=1)
