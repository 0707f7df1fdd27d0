"""How sure: the bootstrap over blocks of the history."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from lightmeter.replay import Floats
from planner import certainty
from planner.certainty import Draws, Estimate
from planner.demand import Demand
from support.plans import demand_of, draws_of
from support.rows import DAY, every, row


HOUR = 3600.0


def days(count: int, first: float = 0.0) -> Demand:
    """Make a request every hour for so many days, in one piece."""
    return demand_of(every(HOUR, int(24 * count), first=first), days=None)


def test_same_seed() -> None:
    """The same seed draws the same, so that a report can be made again; another one differs."""
    history = days(10)
    weights = draws_of(history, seed=3).weights.tolist()

    assert weights == draws_of(history, seed=3).weights.tolist()
    assert weights != draws_of(history, seed=4).weights.tolist()


def test_draws() -> None:
    """Each resample holds as many blocks as the history, drawn evenly."""
    found = draws_of(demand_of(every(HOUR, 24 * 30), days=30), resamples=2000)

    assert (2000, 30) == found.weights.shape
    assert {30.0} == set(found.weights.sum(axis=1))
    assert np.ones(30) == pytest.approx(found.weights.mean(axis=0), abs=0.15)
    assert found.weights.max() > 2


def test_blocks_are_days() -> None:
    """A week or more is cut at midnight, UTC; the first and last day may be short."""
    found = draws_of(demand_of([row(18 * HOUR), row(20 * HOUR), row(9 * DAY + 1800 - 10)]))

    assert DAY == found.block_seconds
    assert [6 * HOUR, *[DAY] * 8, 1800.0] == found.lengths.tolist()
    assert [0, 0, 9] == found.block.tolist()


def test_whole_days() -> None:
    """A month is as many blocks as it has days."""
    found = draws_of(demand_of(every(DAY, 31), days=31))

    assert [DAY] * 31 == found.lengths.tolist()
    assert list(range(31)) == found.block.tolist()


def test_short_history() -> None:
    """Less than a week is cut into twelve equal blocks."""
    found = draws_of(demand_of([row(600.0), row(HOUR), row(3 * HOUR - 10)], days=0.5))

    assert HOUR == found.block_seconds
    assert [HOUR] * 12 == found.lengths.tolist()
    assert [0, 1, 2] == found.block.tolist()


def test_last_request_in_last_block() -> None:
    """A request at the very end of the history is in its last block, not beyond it."""
    found = draws_of(demand_of([*every(HOUR, 11), row(12 * HOUR, 1e-9)]))

    assert 11 == found.block[-1]


def test_same_days() -> None:
    """Where every day is like the other the interval is the value, to the last digit."""
    draws = draws_of(demand_of(every(HOUR, 240), days=10))

    assert Estimate(2.5, 2.5, 2.5, 0.0) == certainty.ratio(
        draws, np.full(10, 5.0), np.full(10, 2.0)
    )


def test_one_bad_day() -> None:
    """A bad day makes the interval wide, most so on the bad side; more days make it narrower."""
    bad = np.array([100.0] * 29 + [40.0])
    month = draws_of(demand_of(every(HOUR, 720), days=30))
    four = draws_of(demand_of(every(HOUR, 2880), days=120))
    found = certainty.ratio(month, bad, np.full(30, 100.0))
    longer = certainty.ratio(four, np.tile(bad, 4), np.full(120, 100.0))

    assert found.value == longer.value == 0.98
    assert found.low <= longer.low <= 0.98 <= longer.high <= found.high
    assert found.value - longer.low > longer.high - found.value
    assert longer.error == pytest.approx(found.error / 2, rel=0.03)


def test_paired_difference() -> None:
    """What two options have in common does not blur their difference."""
    rng = np.random.default_rng(1)
    draws = draws_of(demand_of(every(HOUR, 720), days=30))
    one, hours = rng.lognormal(3, 1, 30), np.full(30, 24.0)

    assert certainty.ratio(draws, (one + 1) - one, hours).low == pytest.approx(1 / 24)
    assert certainty.ratio(draws, one, hours).error > 1 / 24


def test_days_to_decide() -> None:
    """As many days as bring the end of the interval to zero: half as wide takes four times as many."""
    draws = draws_of(demand_of(every(HOUR, 240), days=10))

    assert 40.0 == certainty.days_to_decide(draws, Estimate(1.0, -1.0, 3.0, 1.0))
    assert 90.0 == certainty.days_to_decide(draws, Estimate(-1.0, -2.0, 2.0, 1.0))
    assert certainty.days_to_decide(draws, Estimate(0.0, -1.0, 1.0, 0.5)) is None
    assert certainty.days_to_decide(draws, Estimate(0.01, -1.0, 1.0, 0.5)) is None


def two_blocks(weights: list[list[float]]) -> Draws:
    """Make draws over two blocks with two requests in the first and one in the second."""
    return Draws(np.array([0, 0, 1]), np.array([0.0, 1.0, 2.0]), np.array(weights), 1.0)


def test_share() -> None:
    """The share kept is of all that were asked for, and its interval stays between 0 and 1."""
    draws = draws_of(demand_of(every(HOUR, 240), days=10))
    everyone, kept = np.ones(240, dtype=np.bool_), np.arange(240) % 7 > 0
    found = certainty.share(draws, everyone, kept)

    assert kept.mean() == pytest.approx(found.value)
    assert 0 <= found.low < found.value < found.high <= 1
    assert Estimate(1.0, 1.0, 1.0, 0.0) == certainty.share(draws, ~everyone, kept)


def test_all_or_none() -> None:
    """All kept is surely all, none surely none; nobody asked is nobody let down."""
    draws = two_blocks([[1, 1], [2, 0], [0, 2]] * 100)
    everyone = np.ones(3, dtype=np.bool_)

    assert 1.0 == certainty.share(draws, everyone, everyone).low
    assert 0.0 == certainty.share(draws, everyone, ~everyone).low
    assert 1.0 == certainty.share(draws, ~everyone, ~everyone).low


def test_days_not_requests() -> None:
    """Failures that come all on one day make the share less sure than the same ones spread out."""
    history = demand_of(every(HOUR / 4, 96 * 20), days=20)
    draws, everyone = draws_of(history), np.ones(96 * 20, dtype=np.bool_)
    spread = np.arange(96 * 20) % 20 != 0
    heaped = np.arange(96 * 20) >= 96

    assert spread.mean() == heaped.mean() == 0.95
    assert certainty.share(draws, everyone, spread).low > 0.945
    assert certainty.share(draws, everyone, heaped).low < 0.90


Sample = tuple[Floats, Floats]
"""What is above and below the line, by day."""


def attainment(rng: np.random.Generator, days: int) -> Sample:
    """95 of 100 in the long run; days differ, far more than requests do, and in their load."""
    asked = rng.poisson(rng.gamma(8, 25, days)).astype(np.float64)
    late = rng.binomial(asked.astype(np.int64), rng.beta(0.5, 9.5, days))
    return asked - late, asked


def sparse(rng: np.random.Generator, days: int) -> Sample:
    """A service that is asked for on every other day, some twenty times."""
    asked = np.where(rng.permutation(days) < days // 2, 1 + rng.geometric(0.05, days), 0.0)
    late = rng.binomial(asked.astype(np.int64), rng.beta(0.5, 9.5, days))
    return asked - late, asked


def billed(rng: np.random.Generator, days: int) -> Sample:
    """24 hours a day in the long run; some days take many times as many."""
    return 24 * rng.lognormal(-0.18, 0.6, days), np.ones(days)


def difference(rng: np.random.Generator, days: int) -> Sample:
    """Two options that follow the same load, one GPU-hour apart in the long run."""
    load = rng.gamma(4, 5, days)
    return 0.25 * load - 4 + rng.normal(0, 2, days), np.ones(days)


@pytest.mark.parametrize(
    ("kind", "truth"), [(attainment, 0.95), (sparse, 0.95), (billed, 24.0), (difference, 1.0)]
)
def test_coverage(kind: Callable[[np.random.Generator, int], Sample], truth: float) -> None:
    """The interval of a month holds the truth about 95 times in 100."""
    rng, days, months = np.random.default_rng(3), 30, 1000
    weights = rng.multinomial(days, np.full(days, 1 / days), size=400).astype(np.float64)
    draws = Draws(np.zeros(0, dtype=np.int64), np.arange(days + 1.0), weights, 1.0)
    found = [certainty.ratio(draws, *kind(rng, days)) for _ in range(months)]

    hits = sum(one.low <= truth <= one.high for one in found) / months
    assert 0.92 <= hits <= 0.98


def test_groups() -> None:
    """A service of 100 requests is judged alone; smaller ones together, and none are left out."""
    usage = [*every(10, 100, service="b"), *every(10, 99, service="a"), *every(10, 1, service="c")]
    found = certainty.groups(demand_of(usage))

    assert [[1], [0, 2]] == [group.tolist() for group in found]


def test_rarely_used() -> None:
    """A service whose requests all came on four days is judged with the small ones."""
    rare = [one for day in range(4) for one in every(60, 100, service="rare", first=DAY * day)]
    often = [one for day in range(5) for one in every(60, 100, service="often", first=DAY * day)]
    found = certainty.groups(demand_of([*rare, *often], days=10))

    assert [[0], [1]] == [group.tolist() for group in found]
    assert [["often"], ["rare"]] == [
        [sorted({"rare", "often"})[i] for i in group] for group in found
    ]


def test_no_small_services() -> None:
    """Where every service is large there is no group of small ones."""
    found = certainty.groups(demand_of(every(10, 100)))

    assert [[0]] == [group.tolist() for group in found]
