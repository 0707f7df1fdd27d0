"""GPUs on by a timetable, and rented ones with a start where they do not suffice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightmeter import replay
from lightmeter.replay import Engine, Timetable
from support import queues


ENGINES: tuple[Engine, ...] = ("python", "numba")
HOUR = 3600.0
LOADS = st.lists(st.tuples(st.integers(0, 100), st.integers(0, 400)), min_size=1, max_size=40)
SIZES = st.tuples(st.integers(0, 3), st.integers(0, 3))
TIMES = st.tuples(st.integers(0, 500), st.integers(0, 500))


def timetable(*counts: int, offset: float = 0.0) -> Timetable:
    """Make one of these hours."""
    return Timetable(np.array(counts), offset)


@pytest.mark.parametrize("engine", ENGINES)
def test_by_hand(engine: Engine) -> None:
    """Who comes while all is off waits for the next hour that is on; what has begun is finished."""
    arrivals = np.array([100.0, HOUR + 100, HOUR + 200, 3 * HOUR - 50, 3 * HOUR - 40])
    services = np.full(5, 60.0)
    found = replay.timed(arrivals, services, timetable(0, 1, 1), engine=engine)

    # hours 0 and 3 are off; the fourth begins at 3 h - 50 s and runs into it, the fifth waits
    assert [HOUR - 100, 0.0, 0.0, 0.0, HOUR + 40] == found.waits.tolist()


def test_offset() -> None:
    """A history that begins in the middle of an hour keeps the hours of the clock."""
    found = replay.timed(np.zeros(1), np.ones(1), timetable(0, 1, offset=1800.0))

    assert [1800.0] == found.waits.tolist()


@settings(deadline=None)
@given(LOADS, st.lists(st.integers(0, 3), min_size=1, max_size=6), st.integers(0, 7200))
def test_rule(loads: list[tuple[int, int]], counts: list[int], offset: int) -> None:
    """Each request takes the GPU that can begin soonest, tried second by second."""
    table = np.array(loads, dtype=np.float64) * 16
    arrivals, services = np.cumsum(table[:, 0]), table[:, 1].copy()
    counts[0] = max(counts[0], 1)
    found = {
        engine: replay.timed(arrivals, services, timetable(*counts, offset=offset), engine=engine)
        for engine in ENGINES
    }

    free, expected = [0.0] * max(counts), []
    for arrival, service in zip(arrivals, services, strict=True):
        starts = []
        for j, at in enumerate(free):
            begin = max(arrival, at)
            while counts[int((begin + offset) // HOUR) % len(counts)] <= j:
                begin = ((begin + offset) // HOUR + 1) * HOUR - offset
            starts.append(begin)
        best = int(np.argmin(starts))
        free[best] = starts[best] + service
        expected.append(float(starts[best] - arrival))
    assert expected == found["python"].waits.tolist() == found["numba"].waits.tolist()


def test_always_on() -> None:
    """A timetable without gaps is the plain queue."""
    rng = np.random.default_rng(1)
    arrivals, services = np.cumsum(rng.exponential(10, 2000)), rng.exponential(25, 2000)
    found = replay.timed(arrivals, services, timetable(3, 3))

    assert replay.waits(arrivals, services, 3).tolist() == found.waits.tolist()


def test_never_on() -> None:
    """GPUs that are never on are refused, not waited for."""
    with pytest.raises(ValueError, match="no GPU is on at any hour"):
        replay.timed(np.zeros(1), np.ones(1), timetable(0, 0))


@settings(deadline=None, max_examples=200)
@given(LOADS, SIZES, TIMES)
def test_reserve(
    loads: list[tuple[int, int]], sizes: tuple[int, int], sixteenths: tuple[int, int]
) -> None:
    """Rented GPUs with started ones beside them follow the documented rule, with either engine."""
    table = np.array(loads, dtype=np.float64) / 16
    arrivals, services = np.cumsum(table[:, 0]), table[:, 1].copy()
    reserved, limit = sizes[0], max(sizes[1], 1 - sizes[0])
    start, idle = sixteenths[0] / 16, sixteenths[1] / 16
    expected = queues.reserve_rule(
        arrivals, services, sizes=(reserved, limit), start=start, idle=idle
    )

    for engine in ENGINES:
        found = replay.elastic(
            arrivals,
            services,
            start=start,
            idle=idle,
            limit=limit,
            reserved=reserved,
            engine=engine,
        )
        lives = sorted(zip(found.started.tolist(), found.stopped.tolist(), strict=True))
        assert expected == (found.waits.tolist(), lives)


def test_only_rented() -> None:
    """Rented GPUs with no leave to start others are the plain queue, and nothing is started."""
    rng = np.random.default_rng(2)
    arrivals, services = np.cumsum(rng.exponential(10, 2000)), rng.exponential(25, 2000)
    found = replay.elastic(arrivals, services, start=1.0, idle=1.0, limit=0, reserved=3)

    assert replay.waits(arrivals, services, 3).tolist() == found.waits.tolist()
    assert (0, 0) == (len(found.started), found.peak)
