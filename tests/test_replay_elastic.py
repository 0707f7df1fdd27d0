"""On-demand GPUs: started for the load, released when idle, and billed for the time between."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightmeter import replay
from lightmeter.replay import Elastic, Floats
from support import oracles


LOADS = st.lists(st.tuples(st.integers(0, 100), st.integers(0, 400)), min_size=1, max_size=40)
LIMITS = st.integers(1, 6)
FOREVER = math.inf


def load(steps: list[tuple[int, int]]) -> tuple[Floats, Floats]:
    """Turn gaps and services, in sixteenths of a second, into arrivals and services."""
    table = np.array(steps, dtype=np.float64) / 16
    return np.cumsum(table[:, 0]), table[:, 1].copy()


def lives(found: Elastic) -> list[tuple[float, float]]:
    """When each GPU was ordered and released."""
    return sorted(zip(found.started.tolist(), found.stopped.tolist(), strict=True))


def test_by_hand() -> None:
    """One cold start, one warm request, one release, one more cold start."""
    arrivals, services = np.array([0.0, 50.0, 200.0]), np.array([10.0, 10.0, 5.0])
    found = replay.elastic(arrivals, services, start=30.0, idle=60.0, limit=1)

    # ready at 30, idle at 40, warm at 50, idle from 60, released at 120; again from 200
    assert [30.0, 0.0, 30.0] == found.waits.tolist()
    assert [(0.0, 120.0), (200.0, 295.0)] == lives(found)
    assert [True, False, True] == found.cold.tolist()
    assert 1 == found.peak


def test_no_needless_start() -> None:
    """A request waits for a running GPU where that is free before a new one would be ready."""
    arrivals, services = np.array([0.0, 1.0, 2.0]), np.array([20.0, 50.0, 5.0])
    found = replay.elastic(arrivals, services, start=30.0, idle=10.0, limit=9)

    # the first runs from 30 to 50; at 1 s a start is ready at 31, sooner than 50; at 2 s it would
    # be ready at 32, and again none is free before
    assert [30.0, 30.0, 30.0] == found.waits.tolist()
    slow = replay.elastic(arrivals, services, start=30.0, idle=10.0, limit=2)
    assert [30.0, 30.0, 48.0] == slow.waits.tolist()
    late = replay.elastic(np.array([0.0, 26.0, 27.0]), services, start=30.0, idle=10.0, limit=9)
    # at 26 s a start would be ready at 56: the running one is free at 50, and then busy to 100
    assert [30.0, 24.0, 30.0] == late.waits.tolist()


def test_last_worked_first() -> None:
    """Of two idle GPUs the one that worked last is taken, so that the other can go."""
    arrivals, services = np.array([0.0, 0.0, 25.0]), np.array([10.0, 20.0, 5.0])
    found = replay.elastic(arrivals, services, start=0.0, idle=100.0, limit=9)

    assert [(0.0, 110.0), (0.0, 130.0)] == lives(found)


@pytest.mark.parametrize(
    ("rate", "mean", "start", "idle", "within"),
    [
        (0.02, 10.0, 0.0, 60.0, 0.02),
        (0.02, 10.0, 180.0, 0.0, 0.02),
        (0.02, 10.0, 180.0, 60.0, 0.02),
        (0.02, 10.0, 180.0, 300.0, 0.15),  # its 600 cold starts have 4 % of their own
        (0.002, 30.0, 180.0, 300.0, 0.02),
    ],
)
def test_closed_form(rate: float, mean: float, *, start: float, idle: float, within: float) -> None:
    """One GPU waits, and is on, as the M/G/1 queue with set-up and idle timeout."""
    n, sigma, rng = 300_000, 0.549, np.random.default_rng(2)
    arrivals = np.cumsum(rng.exponential(1 / rate, n))
    services = rng.lognormal(math.log(mean) - sigma**2 / 2, sigma, n)
    found = replay.elastic(arrivals, services, start=start, idle=idle, limit=1)
    on = float((found.stopped - found.started).sum()) / arrivals[-1]

    wait, share = oracles.cold_start(
        rate, mean, mean**2 * math.exp(sigma**2), start=start, idle=idle
    )
    assert wait == pytest.approx(float(found.waits.mean()), rel=within)
    assert share == pytest.approx(on, rel=0.005)


@settings(deadline=None)
@given(LOADS, st.floats(0, 100))
def test_instant(steps: list[tuple[int, int]], idle: float) -> None:
    """With starts that take no time and no limit nobody waits."""
    arrivals, services = load(steps)
    found = replay.elastic(arrivals, services, start=0.0, idle=idle, limit=len(steps))

    assert not found.waits.any()


@settings(deadline=None)
@given(LOADS)
def test_pay_for_use(steps: list[tuple[int, int]]) -> None:
    """Instant starts and instant releases cost exactly the service time."""
    arrivals, services = load(steps)
    found = replay.elastic(arrivals, services, start=0.0, idle=0.0, limit=len(steps))

    assert services.sum() == (found.stopped - found.started).sum()


@settings(deadline=None)
@given(LOADS, LIMITS, st.sampled_from([0.0, 0.5, 20.0, FOREVER]))
def test_instant_but_limited(steps: list[tuple[int, int]], limit: int, idle: float) -> None:
    """If starts take no time, at most c on-demand GPUs wait as c GPUs do, whatever is released."""
    arrivals, services = load(steps)
    found = replay.elastic(arrivals, services, start=0.0, idle=idle, limit=limit)

    assert replay.waits(arrivals, services, limit).tolist() == found.waits.tolist()


@settings(deadline=None)
@given(LOADS, LIMITS)
def test_never_released(steps: list[tuple[int, int]], limit: int) -> None:
    """GPUs that are never released are started once each and stay on."""
    arrivals, services = load(steps)
    found = replay.elastic(arrivals, services, start=10.0, idle=FOREVER, limit=limit)

    assert len(found.started) == found.cold.sum() <= limit
    assert np.isinf(found.stopped).all()


@settings(deadline=None, max_examples=300)
@given(LOADS, LIMITS, st.integers(0, 500), st.integers(0, 500))
def test_covered(steps: list[tuple[int, int]], limit: int, start: int, idle: int) -> None:
    """Whenever requests run, as many GPUs are on; and never more than the limit."""
    arrivals, services = load(steps)
    found = replay.elastic(arrivals, services, start=start / 16, idle=idle / 16, limit=limit)
    begins = arrivals + found.waits
    ends = begins + services

    assert found.peak <= limit
    for at in begins:
        running = int(((begins <= at) & (at < ends)).sum())
        assert running <= int(((found.started <= at) & (at < found.stopped)).sum())
    assert len(found.started) == found.cold.sum()
    # on = starting + serving + idle, and every life ends with one whole idle timeout
    least = services.sum() + len(found.started) * (start + idle) / 16
    assert least <= (found.stopped - found.started).sum()


@pytest.mark.parametrize(
    ("start", "idle", "limit"), [(0.0, 0.0, 99), (180.0, 60.0, 1), (180.0, 60.0, 4), (30.0, 900, 9)]
)
def test_rule(start: float, idle: float, limit: int) -> None:
    """Waits and lives are those of the documented rule, followed GPU by GPU."""
    rng = np.random.default_rng(4)
    arrivals, services = np.cumsum(rng.exponential(15.0, 4000)), rng.lognormal(3.2, 0.5, 4000)
    found = replay.elastic(arrivals, services, start=start, idle=idle, limit=limit)

    expected = oracles.elastic_rule(arrivals, services, start=start, idle=idle, limit=limit)
    assert expected == (found.waits.tolist(), lives(found))


@settings(deadline=None, max_examples=300)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6)), min_size=1, max_size=30),
    LIMITS,
    st.integers(0, 6),
    st.integers(0, 6),
)
def test_rule_on_ties(steps: list[tuple[int, int]], limit: int, start: int, idle: int) -> None:
    """The rule holds where a request arrives at the very instant of a release, an end or a start."""
    arrivals, services = load(steps)
    given_ = {"start": start / 16, "idle": idle / 16, "limit": limit}
    found = replay.elastic(arrivals, services, **given_)  # type: ignore[arg-type]  # limit is whole

    waits, spans = oracles.elastic_rule(arrivals, services, **given_)  # type: ignore[arg-type]
    assert waits == found.waits.tolist()
    # GPUs that end at the same instant are alike: which of them was ordered when is left open
    assert sorted(begin for begin, _ in spans) == sorted(found.started.tolist())
    assert sorted(end for _, end in spans) == sorted(found.stopped.tolist())


def test_peak() -> None:
    """Three lives overlap at most twice; one that ends as another begins does not overlap it."""
    started, stopped = np.array([0.0, 5.0, 10.0]), np.array([10.0, 12.0, 20.0])

    assert 2 == replay.peak(started, stopped)
    assert 3 == replay.peak(started, stopped + 0.5)
    assert 1 == replay.peak(started[::2], stopped[::2])
    assert 0 == replay.peak(started[:0], stopped[:0])


def test_no_gpus() -> None:
    """A limit of zero GPUs is refused, as `waits` refuses it."""
    with pytest.raises(ValueError, match="0 GPUs are asked for"):
        replay.elastic(np.array([0.0]), np.array([1.0]), start=0.0, idle=0.0, limit=0)


def test_unequal_lengths() -> None:
    """A service without its arrival is refused, not guessed."""
    with pytest.raises(ValueError, match="1 arrivals and 2 services"):
        replay.elastic(np.zeros(1), np.zeros(2), start=1.0, idle=1.0, limit=1)


def test_nobody() -> None:
    """Where nothing is asked for, nothing is started."""
    nothing = np.array([], dtype=np.float64)
    found = replay.elastic(nothing, nothing, start=1.0, idle=1.0, limit=1)

    assert ([], 0) == (lives(found), found.peak)
