"""How sure: the bootstrap over blocks of the history."""

from __future__ import annotations

import numpy as np
import pytest

from lightmeter.replay import Floats
from planner import certainty
from planner.certainty import Draws
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


def test_interval() -> None:
    """The interval holds the central 95 %."""
    assert (25.0, 975.0) == certainty.interval(np.arange(1001.0))


def two_blocks(weights: list[list[float]]) -> Draws:
    """Make draws over two blocks with two requests in the first and one in the second."""
    return Draws(np.array([0, 0, 1]), np.array([0.0, 1.0, 2.0]), np.array(weights), 1.0)


def test_shares() -> None:
    """A resample counts a block as often as it was drawn; none of the asked for gives no share."""
    draws = two_blocks([[1, 1], [2, 0], [0, 2]])
    everyone, kept = np.ones(3, dtype=np.bool_), np.array([True, False, True])
    first = np.array([True, True, False])

    assert [2 / 3, 1 / 2, 1.0] == certainty.shares(draws, everyone, kept).tolist()
    assert [0.5, 0.5, None] == [
        None if np.isnan(share) else share for share in certainty.shares(draws, first, kept)
    ]


def test_lower_bound() -> None:
    """The bound is the low end of what the resamples say, leaving out those that say nothing."""
    draws = two_blocks([[1, 1], [2, 0], [0, 2]] * 100)
    everyone, kept = np.ones(3, dtype=np.bool_), np.array([True, False, True])

    assert 0.5 == certainty.lower_bound(draws, everyone, kept)
    assert 1.0 == certainty.lower_bound(draws, np.array([False, False, True]), kept)
    assert 1.0 == certainty.lower_bound(draws, everyone, everyone)
    assert 0.0 == certainty.lower_bound(draws, everyone, ~everyone)
    assert 1.0 == certainty.lower_bound(draws, ~everyone, ~everyone)  # nobody was let down


def test_days_not_requests() -> None:
    """Failures that come all on one day make the share less sure than the same ones spread out."""
    history = demand_of(every(HOUR / 4, 96 * 20), days=20)
    draws, everyone = draws_of(history), np.ones(96 * 20, dtype=np.bool_)
    spread = np.arange(96 * 20) % 20 != 0
    heaped = np.arange(96 * 20) >= 96

    assert spread.mean() == heaped.mean() == 0.95
    assert certainty.lower_bound(draws, everyone, spread) > 0.945
    assert certainty.lower_bound(draws, everyone, heaped) < 0.90


def covered(rng: np.random.Generator, level: float) -> bool:
    """Tell whether the interval of one made-up month holds the true share."""
    per_day = rng.beta(8 * level, 8 * (1 - level), 30)  # days differ, far more than requests do
    kept = rng.random((30, 50)) < per_day[:, None]
    block = np.repeat(np.arange(30), 50)
    weights = rng.multinomial(30, np.full(30, 1 / 30), size=200).astype(np.float64)
    draws = Draws(block, np.linspace(0.0, 30 * DAY, 31), weights, DAY)
    shares: Floats = certainty.shares(draws, np.ones(1500, dtype=np.bool_), kept.ravel())
    low, high = certainty.interval(shares)
    return low <= level <= high


def test_coverage() -> None:
    """The interval of a month of uneven days holds the true share about 95 times in 100."""
    rng = np.random.default_rng(8)
    hits = sum(covered(rng, 0.7) for _ in range(400))

    # 30 blocks cost the percentile method a few points; 400 months are good for 1.3 points
    assert 0.89 * 400 <= hits <= 0.985 * 400


def test_groups() -> None:
    """A service of 100 requests is judged alone; smaller ones together, and none are left out."""
    usage = [*every(10, 100, service="b"), *every(10, 99, service="a"), *every(10, 1, service="c")]
    found = certainty.groups(demand_of(usage))

    assert [[1], [0, 2]] == [group.tolist() for group in found]


def test_no_small_services() -> None:
    """Where every service is large there is no group of small ones."""
    found = certainty.groups(demand_of(every(10, 100)))

    assert [[0]] == [group.tolist() for group in found]
