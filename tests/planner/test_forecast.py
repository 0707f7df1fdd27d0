"""The load of the coming month."""

from __future__ import annotations

import numpy as np
import pytest

from lightmeter.replay import Floats
from planner import forecast, outlook
from support import plans
from support.plans import demand_of, draws_of
from support.rows import DAY, every


HOUR = 3600.0


def series(weeks: int, *, seed: int = 1, growth: float = 0.0, rhythm: float = 1.0) -> Floats:
    """Work by hour: busy evenings, quiet weekends, days that differ, hours that differ more."""
    rng = np.random.default_rng(seed)
    hours = np.arange(168 * weeks)
    evening = 1.2 + rhythm * np.cos(2 * np.pi * (hours % 24 - 20) / 24)
    weekday = np.where(hours // 24 % 7 < 5, 1.0, 1 - 0.4 * rhythm)
    usual = 200 * evening * weekday * np.exp(growth * hours / 168)
    days = rng.lognormal(-0.045, 0.3, 7 * weeks)[hours // 24]
    found: Floats = rng.gamma(3.0, usual * days / 3.0)
    return found


def test_beats_naive() -> None:
    """On a service with a rhythm the regression beats last week's repetition, and is used."""
    found = forecast.make(series(8), days=30, seed=1)

    assert found.backtest is not None
    assert found.backtest.beats_naive
    assert found.backtest.mase < 0.9 < found.backtest.mase_naive
    assert found.factor is not None
    assert found.reason.startswith("it beats the naive one: MASE 0.")


@pytest.mark.parametrize("growth", [0.0, 0.04])
def test_interval(growth: float) -> None:
    """The month that comes lies in the interval about 95 times in 100, growth or not."""
    hits = 0
    for seed in range(8):
        whole = series(12, seed=seed, growth=growth)
        past, came = whole[: 7 * 168], whole[7 * 168 : 7 * 168 + 720]
        found = forecast.make(past, days=30, seed=1)
        assert found.factor_ci is not None
        hits += found.factor_ci[0] <= came.mean() / past.mean() <= found.factor_ci[1]

    assert hits >= 7


def test_no_better() -> None:
    """Where last week simply comes again, nothing beats it, and the forecast is not used."""
    week = np.random.default_rng(1).gamma(0.3, 1000.0, 168)
    found = forecast.make(np.tile(week, 8), days=30, seed=1)

    assert (None, None) == (found.factor, found.factor_ci)
    assert found.reason.startswith("it is no better than the naive one")


def test_too_short() -> None:
    """Three weeks are too few to test a forecast on; that is said."""
    found = forecast.make(series(3), days=30, seed=1)

    assert found.factor is None
    assert "3.0 weeks of history are fewer than the 4" in found.reason


def test_silence() -> None:
    """A history in which nothing came breaks nothing."""
    assert forecast.make(np.zeros(168 * 5), days=30, seed=1).factor is None


def test_same_seed() -> None:
    """The same seed gives the same interval."""
    assert forecast.make(series(6), days=30, seed=1) == forecast.make(series(6), days=30, seed=1)


@pytest.mark.parametrize("factor", [0.3, 0.9999, 1.0, 1.4, 2.0, 2.5])
def test_scaled(factor: float) -> None:
    """So much of the work is left or added, at the same hours of the day, in order, in the window."""
    usage = [one for day in range(40) for one in every(HOUR / 4, 40, first=DAY * day)]
    demand = demand_of(usage, days=40)
    found, rows = outlook.scaled(demand, factor, seed=1)

    assert found.busy_gpus / demand.busy_gpus == pytest.approx(factor, rel=0.1)
    assert (demand.span_seconds, True) == (found.span_seconds, bool((np.diff(found.arrivals) >= 0).all()))  # fmt: skip
    assert set(demand.arrivals % DAY) >= set(found.arrivals % DAY)
    assert demand.seconds[rows].tolist() == pytest.approx(found.seconds.tolist())
    assert len(found.arrivals) == len(found.seconds) == len(found.owner) == len(found.images)


def test_spread() -> None:
    """Days that are alike leave no doubt; days that differ leave more, the longer the month ahead is not."""
    even = demand_of(every(HOUR, 240), days=10)
    uneven = demand_of([one for day in range(10) for one in every(600, 10 + 12 * (day % 3), first=DAY * day)], days=10)  # fmt: skip
    low, high = outlook.spread(uneven, draws_of(uneven), days=30)
    wide = outlook.spread(uneven, draws_of(uneven), days=7)

    assert (1.0, 1.0) == pytest.approx(outlook.spread(even, draws_of(even), days=30))
    assert wide[0] < low < 1 < high < wide[1]


def test_outlook() -> None:
    """The plan says what load to expect, and whether the advice keeps the objective at its upper end."""
    busy = [one for day in range(10) for one in every(900, 20 + 20 * (day % 2), first=DAY * day)]
    found = plans.document(busy, slo="p95_wait=10m")["outlook"]
    tight = plans.document(busy, slo="p95_wait=1s")["outlook"]

    assert ("spread between days", True) == (found["source"], found["meets_slo"])
    assert not tight["meets_slo"]  # those that are added come at the instants that others do
    assert found["load_factor_ci"][0] < 1 == found["load_factor"] < found["load_factor_ci"][1]
    assert "fewer than the 4" in found["reason"]


def test_next_month() -> None:
    """A plan for the coming month counts the load that is forecast; where none can be, it says so."""
    short = plans.document(every(900, 1000), next_month=True)["generated_from"]

    assert short["notes"][-1].startswith("planned for the load of the history, not for the coming")
    weeks = [one for day in range(42) for one in every(1800, 6 + 4 * (day % 7), first=DAY * day + day % 5 * 60)]  # fmt: skip
    found = plans.document(weeks, next_month=True)["generated_from"]
    assert found["notes"][-1].startswith("planned for ")
