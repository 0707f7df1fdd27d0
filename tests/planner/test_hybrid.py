"""Rented GPUs with started ones beside them, quiet hours, and models that sleep."""

from __future__ import annotations

import numpy as np
import pytest

from lightmeter import replay
from lightmeter.rows import UsageRow
from planner.options.hybrid import hybrid, newsvendor
from planner.options.rented import asleep, shared
from planner.options.scheduled import profile, scheduled
from support.plans import demand_of, draws_of, terms
from support.rows import DAY, every, row


HOUR = 3600.0


@pytest.mark.parametrize("ratio", [0.25, 0.4, 0.5, 0.7, 1.0])
def test_newsvendor(ratio: float) -> None:
    """The quantile rule rents what trying every number finds cheapest."""
    needed = np.random.default_rng(3).poisson(4.0, 5000).astype(np.float64)
    costs = [ratio * count + float(np.maximum(needed - count, 0).mean()) for count in range(20)]

    assert min(costs) == pytest.approx(costs[newsvendor(needed, ratio, 1.0)], rel=1e-9)


def steady_with_bursts() -> list[UsageRow]:
    """Keep one GPU busy around the clock, and ask for four more for an hour each day."""
    base = every(100.0, int(10 * DAY / 100), seconds=90.0)
    burst = [row(day * DAY + HOUR + 100 * k + n, 100.0) for day in range(10) for k in range(36) for n in range(4)]  # fmt: skip
    return [*base, *burst]


def test_base_and_overflow() -> None:
    """The base is rented and the daily burst is started for, which is cheaper than either alone."""
    demand = demand_of(steady_with_bursts(), days=10)
    here = terms(200.0, discount=0.5)
    (found,) = hybrid(demand, draws_of(demand), here)
    rented = float(found.billed.sum())

    assert found.meets_slo
    assert "a 1" in str(found.facts[0][1]) or "a 2" in str(found.facts[0][1])
    for reserved in range(8):  # nothing that keeps it with the same timeouts is cheaper
        for idle in (60.0, 300.0, 900.0, 3600.0, 14_400.0):
            other = replay.elastic(
                demand.arrivals, demand.seconds, start=180.0, idle=idle, limit=64, reserved=reserved
            )
            on = float((np.minimum(other.stopped, 10 * DAY) - other.started).sum()) / HOUR
            late = np.mean(other.waits > 200.0)
            assert late > 0.04 or on + reserved * 120.0 >= rented * 0.999
    again = found.again
    assert again is not None
    assert found.waits.tolist() == again(demand, here).tolist()


def test_nothing_to_rent_for() -> None:
    """A service that hardly asks gets no rented GPU, so there is no such option."""
    demand = demand_of(every(6 * HOUR, 120, seconds=5.0))

    assert [] == hybrid(demand, draws_of(demand), terms(300.0))


def office(days: int = 10) -> list[UsageRow]:
    """Ask every five minutes from 8 to 18 h, and at no other time."""
    return [row(day * DAY + 8 * HOUR + 300 * k, 20.0) for day in range(days) for k in range(120)]


def test_off_at_night() -> None:
    """GPUs are off at the hours at which nobody comes, and on in time for those who do."""
    demand = demand_of(office(), days=10)
    (found,) = scheduled(demand, draws_of(demand), terms(30.0, start_seconds=180.0))

    assert (True, 1, 10) == (found.meets_slo, found.gpus, found.cold_starts)
    assert 0.0 == found.waits.max()
    # ten hours a day, the start, and nothing after 18 h
    assert float(found.billed.sum()) == pytest.approx(10 * (10 + 180 / 3600), abs=0.01)
    assert "14 of each day: 0, 1, 2, 3, 4, 5, 6, 7, 18, 19, 20, 21, 22, 23" == found.facts[0][1]


def test_never_quiet() -> None:
    """Where somebody comes at every hour, or the history is short, nothing is switched off."""
    always, short = demand_of(every(60.0, 15_000)), demand_of(office(3), days=3)

    assert [] == scheduled(always, draws_of(always), terms(30.0))
    assert [] == scheduled(short, draws_of(short), terms(30.0))


def test_last_picture_is_paid() -> None:
    """A picture that begins before its GPU is switched off is finished and paid for."""
    usage = [*office(), *(row(day * DAY + 18 * HOUR - 10, 600.0) for day in range(10))]
    demand = demand_of(usage, days=10)
    (found,) = scheduled(demand, draws_of(demand), terms(30.0, start_seconds=0.0))

    assert float(found.billed.sum()) == pytest.approx(10 * (10 + 590 / 3600), abs=0.01)


def test_profile() -> None:
    """Hours are those of the clock: of the day in a short history, of the week in a long one."""
    short, long = demand_of(office(), days=10), demand_of(office(28), days=28)
    day, _ = profile(short, short.rows(0))
    week, offset = profile(long, long.rows(0))

    assert (24, 168) == (len(day), len(week))
    assert [0.0] * 8 + [120.0] * 10 + [0.0] * 6 == day.tolist()
    assert 3 * DAY == offset  # 2026-10-01 is a Thursday
    assert 4 * 12.0 == week[8]


def test_asleep() -> None:
    """Models that wake quickly need fewer GPUs than models that are loaded anew."""
    usage = [one for name in "abcd" for one in every(41.0, 2000, seconds=5.0, service=name, first=ord(name) * 3.0)]  # fmt: skip
    demand = demand_of(usage)
    here = terms(15.0, swap_seconds=20.0, wake_seconds=1.0)
    (found,) = asleep(demand, draws_of(demand), here)

    assert found.meets_slo
    assert found.gpus < shared(demand, draws_of(demand), here).gpus
    again = found.again
    assert again is not None
    assert found.waits.max() < again(demand, terms(wake_seconds=2.0)).max()
    assert [] == asleep(demand, draws_of(demand), terms(wake_seconds=None))
