"""The ways to serve: sized by replay, as small as the objective allows, and billed."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightmeter import replay
from lightmeter.rows import UsageRow
from planner import certainty
from planner import options as ways
from planner.certainty import Estimate
from planner.demand import Demand
from planner.options import Option
from planner.slo import Slo
from support import gentd26, oracles, plans
from support.plans import demand_of, draws_of, terms
from support.rows import DAY, every, row


HOUR = 3600.0


def bursts(size: int, count: int = 48, service: str = "a", seconds: float = 20.0) -> list[UsageRow]:
    """Make so many requests at once, every hour."""
    return [one for _ in range(size) for one in every(HOUR, count, seconds=seconds, service=service)]  # fmt: skip


def trace() -> Demand:
    """Make the demand of a synthetic request log of two weeks."""
    log = gentd26.log(3000, days=14)
    log = log[log["predict_status"] != "PENDING"]
    since = log["gmt_create"].astype("datetime64[s]") - gentd26.START
    seconds = since.dt.total_seconds()
    names = log["checkpoint_model_version_id"]
    times = zip(seconds, log["exec_time_seconds"], names, strict=True)
    return demand_of(row(at, time, name) for at, time, name in times)


@pytest.mark.parametrize(("size", "wait", "gpus"), [(4, 30, 2), (4, 19, 4), (4, 60, 1), (3, 20, 2)])
def test_size_by_hand(size: int, wait: float, gpus: int) -> None:
    """Bursts of 20 s requests need as many GPUs as the last of a burst is to start in time."""
    demand = demand_of(bursts(size))
    draws = draws_of(demand)

    for way in (ways.dedicated, ways.shared):
        found = way(demand, draws, terms(wait))
        assert (gpus, True, 1.0) == (found.gpus, found.meets_slo, found.attainment)
        last = 20.0 * ((size - 1) // gpus)
        assert last == found.waits.max()


def test_shared_is_smallest() -> None:
    """One GPU fewer would miss the objective, and the waits are those of the dispatch rule."""
    demand = trace()
    draws, here = draws_of(demand), terms(30.0, swap_seconds=22.7)
    found = ways.shared(demand, draws, here)
    fewer, _ = oracles.pool_rule(
        demand.arrivals, demand.seconds, demand.owner, servers=found.gpus - 1, swap=22.7
    )
    same, swapped = oracles.pool_rule(
        demand.arrivals, demand.seconds, demand.owner, servers=found.gpus, swap=22.7
    )

    assert found.meets_slo
    assert 2 <= found.gpus <= 12
    assert not ways.keeps_objective(demand, draws, np.array(fewer), here.slo)
    assert (same, sum(swapped)) == (found.waits.tolist(), found.cold_starts)


def test_dedicated_is_smallest() -> None:
    """Every service that is judged alone has the fewest GPUs that keep its objective."""
    demand = demand_of([*bursts(4), *bursts(7, service="b"), *bursts(10, service="c")])
    found = ways.dedicated(demand, draws_of(demand), terms(30.0))

    # two of 20 s can start on a GPU within 30 s
    assert {"a": 2, "b": 4, "c": 5} == {place.services[0]: place.gpus for place in found.placement}
    assert (11, True) == (found.gpus, found.meets_slo)
    assert [20.0] * 3 == [place.wait_p95_seconds for place in found.placement]


def test_small_services() -> None:
    """Services too small to judge get one GPU each, and more only where waits are worst."""
    usage = [*bursts(3, count=13), *every(HOUR, 60, service="b"), *every(HOUR, 20, service="c")]
    demand = demand_of(usage)
    found = ways.dedicated(demand, draws_of(demand), terms(15.0))

    assert [3, 1, 1] == [place.gpus for place in found.placement]
    assert found.meets_slo


@pytest.mark.parametrize("size", [1, 2, 5])
def test_single_service(size: int) -> None:
    """With one service there is nothing to share: the pool is its dedicated GPUs."""
    demand = demand_of(bursts(size))
    draws = draws_of(demand)
    alone, pooled = (way(demand, draws, terms()) for way in (ways.dedicated, ways.shared))

    assert alone.gpus == pooled.gpus
    assert alone.waits.tolist() == pooled.waits.tolist()
    assert alone.billed.tolist() == pooled.billed.tolist()
    assert 0 == pooled.cold_starts


@pytest.mark.parametrize("way", [ways.dedicated, ways.shared])
def test_enough_for_the_load(way: Callable[..., Option]) -> None:
    """A GPU that falls ever further behind does not keep an objective of hours."""
    demand = demand_of(every(10.0, 9000, seconds=15.0))  # 1.5 GPUs busy, for 25 hours
    found = way(demand, draws_of(demand), terms(13 * HOUR))

    assert demand.busy_gpus <= found.gpus


def test_heaped_failures() -> None:
    """An option whose share keeps the target but whose lower bound does not, misses it."""
    quiet = every(HOUR / 4, 96 * 19, seconds=1.0, first=DAY)
    bad_day = [row(0.0, 100.0) for _ in range(96)]
    demand = demand_of([*bad_day, *quiet], days=20)
    found = ways.shared(demand, draws_of(demand), terms(30.0, max_gpus=1))

    assert found.attainment == 1 - 95 / 1920 > 0.95
    assert ways.p95(found.waits) == 0.0
    assert found.attainment_ci[0] < 0.95
    assert not found.meets_slo


def test_spread_failures() -> None:
    """The same share spread over the days, a little above the target, keeps it."""
    late = [row(DAY * day + k, 100.0) for day in range(20) for k in range(4)]  # three of them wait
    rest = every(HOUR / 4, 96 * 20, seconds=1.0, first=HOUR / 8)
    demand = demand_of([*late, *rest], days=20)
    found = ways.shared(demand, draws_of(demand), terms(30.0, max_gpus=1))

    assert found.attainment == 1 - 60 / 2000
    assert found.meets_slo


def test_no_service_is_sacrificed() -> None:
    """A service of 100 requests that misses counts, even where all together keep the objective."""
    demand = demand_of([*every(60, 5000), *every(3000, 100, service="b")])
    waits = np.where(demand.owner == 1, 99.0, 0.0)
    draws = draws_of(demand)

    assert certainty.share(draws, waits >= 0, waits == 0).low > 0.95
    assert not ways.keeps_objective(demand, draws, waits, Slo(30.0, 0.95))
    assert ways.keeps_objective(demand, draws, waits * 0, Slo(30.0, 0.95))


@pytest.mark.parametrize(
    ("grain", "minimum", "seconds"),
    [(1, 0, 150), (60, 0, 240), (1, 75, 155), (60, 150, 360), (3600, 0, 7200)],
)
def test_billing(grain: float, minimum: float, seconds: float) -> None:
    """Two starts of 70 and 80 s are billed with the provider's minimum and granularity."""
    demand = demand_of([row(0.0, 10.0), row(1000.0, 20.0)], days=1)
    price = plans.price(granularity_seconds=grain, minimum_seconds=minimum)
    here, draws = terms(start_seconds=0.0, price=price), draws_of(demand)
    found = ways.on_demand(demand, draws, here)

    assert (60.0, 2, 1) == (found.idle_seconds, found.cold_starts, found.gpus)
    assert [seconds / HOUR, *[0.0] * 11] == pytest.approx(found.billed.tolist())
    hours = found.monthly_hours(draws, here).value
    assert seconds / HOUR * 30 == pytest.approx(hours)  # of a month of 30 days


def test_billing_across_blocks() -> None:
    """Time on is billed when it passes; the rounding when the GPU was started."""
    demand = demand_of([row(7190.0, 20.0), row(DAY - 10.0, 5.0)], days=1)
    price = plans.price(granularity_seconds=60.0)
    found = ways.on_demand(demand, draws_of(demand), terms(start_seconds=0.0, price=price))

    # 80 s are billed as 120; the last one is still on at the end, and not rounded up yet
    assert [50 / HOUR, 70 / HOUR, *[0.0] * 9, 10 / HOUR] == pytest.approx(found.billed.tolist())


def test_cold_starts() -> None:
    """The idle timeout is the cheapest that keeps the objective: long enough for the gaps."""
    demand = demand_of(every(HOUR / 2, 100))
    found = ways.on_demand(demand, draws_of(demand), terms(30.0, start_seconds=180.0))

    assert (HOUR, 1, True) == (found.idle_seconds, found.cold_starts, found.meets_slo)
    assert [180.0, *[0.0] * 99] == found.waits.tolist()


def test_on_demand_misses() -> None:
    """Where no timeout keeps the objective, the closest is shown, and said to miss."""
    pairs = [*every(10 * HOUR, 40), *every(10 * HOUR, 40, first=600.0)]
    demand = demand_of(pairs)
    found = ways.on_demand(demand, draws_of(demand), terms(30.0, start_seconds=180.0))

    assert (False, 0.5) == (found.meets_slo, found.attainment)  # the second of each pair


def test_on_demand_peak() -> None:
    """GPUs on demand are counted as they are on at the same time, not service by service."""
    together = demand_of([row(0.0), row(5.0, service="b")], days=1)
    apart = demand_of([row(0.0), row(5000.0, service="b")], days=1)
    here = terms(start_seconds=0.0)

    assert 2 == ways.on_demand(together, draws_of(together), here).gpus
    assert 1 == ways.on_demand(apart, draws_of(apart), here).gpus


@pytest.mark.parametrize("way", [ways.dedicated, ways.shared, ways.on_demand])
def test_at_most(way: Callable[..., Option]) -> None:
    """An option that would need more GPUs than allowed does not keep the objective."""
    usage = [*bursts(9, seconds=500.0), *bursts(9, seconds=500.0, service="b")]
    demand = demand_of(usage)  # 2.5 GPUs busy
    found = way(demand, draws_of(demand), terms(30.0, start_seconds=0.0, max_gpus=2))

    assert not found.meets_slo
    assert found.gpus <= 2 or way is not ways.shared


@given(st.integers(1, 200), st.integers(1, 200), st.integers(1, 200))
def test_fewest(need: int, low: int, most: int) -> None:
    """The smallest number that will do is found; where none will, the most that is allowed."""
    low = min(low, most)
    expected = max(low, need) if need <= most else most

    assert expected == ways.fewest(lambda count: count >= need, low, most)


@given(st.floats(0, 1e6), st.sampled_from([1.0, 60.0, 3600.0]), st.sampled_from([0.0, 60.0, 600.0]))
def test_round_up(on: float, grain: float, minimum: float) -> None:
    """Billed time is whole grains, at least the minimum and the time on, less than a grain more."""
    price = plans.price(granularity_seconds=grain, minimum_seconds=minimum)
    billed = float(ways.round_up(np.array([on]), price)[0])
    due = max(on, minimum)

    assert 0 == billed % grain
    assert due - grain * 1e-9 <= billed < due + grain


def test_cost() -> None:
    """Money is exact: hours times the decimal price."""
    assert Decimal("0.3") == ways.cost(0.3, plans.price(price_per_gpu_hour=Decimal(1)))
    assert Decimal("526.000") == ways.cost(1000.0, plans.price(price_per_gpu_hour=Decimal("0.526")))


def test_always_on() -> None:
    """Rented GPUs are paid for around the clock, and what they cost is certain."""
    demand = demand_of(bursts(4))
    draws, here = draws_of(demand), terms()
    hours = ways.dedicated(demand, draws, here).monthly_hours(draws, here)

    assert Estimate(1440.0, 1440.0, 1440.0, 0.0) == hours


def test_waits_are_replayed() -> None:
    """Each service waits as its own GPUs make it, as if the others did not exist."""
    demand = demand_of([*bursts(5), *bursts(8, service="b", seconds=7.0)])
    found = ways.dedicated(demand, draws_of(demand), terms(30.0))

    for index, place in enumerate(found.placement):
        mask = demand.of(index)
        expected = replay.waits(demand.arrivals[mask], demand.seconds[mask], place.gpus)
        assert expected.tolist() == found.waits[mask].tolist()
