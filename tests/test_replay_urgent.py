"""Urgent requests first on GPUs that come and go, are off at times, or are shared: by hand and in SimPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightmeter import replay
from lightmeter.replay import Engine, Floats, Integers, Replicas, Timetable
from support import oracles, urgent


ENGINES: tuple[Engine, ...] = ("python", "numba")
STEPS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6)), min_size=1, max_size=30)
HOUR = 3600.0


def loads(seed: int, n: int, gap: float, mean: float) -> tuple[Floats, Floats, Integers]:
    """Draw arrivals, services and ranks; times in whole 2**-20 s, so that no engine rounds."""
    rng = np.random.default_rng(seed)
    arrivals = oracles.on_grid(np.cumsum(rng.exponential(gap, n)))
    services = oracles.on_grid(rng.lognormal(np.log(mean), 0.6, n)) + 2.0**-20
    return arrivals, services, rng.choice(3, n, p=[0.3, 0.5, 0.2]).astype(np.int64)


@pytest.mark.parametrize("engine", ENGINES)
def test_started_by_hand(engine: Engine) -> None:
    """The urgent request takes the GPU that was started for another; a start follows for the last."""
    arrivals, services = np.array([0.0, 10.0, 20.0, 300.0]), np.array([50.0, 50.0, 5.0, 5.0])
    ranks = np.array([1, 1, 0, 1])
    found = replay.elastic(arrivals, services, start=30.0, idle=60.0, limit=9, ranks=ranks, engine=engine)  # fmt: skip

    # ready at 30 and, since the second would have begun at 80, another at 40; at 30 the urgent one
    # goes first and is done at 35, the first follows there and the second at 40 on its own
    assert [35.0, 30.0, 10.0, 30.0] == found.waits.tolist()
    assert [(0.0, 145.0), (10.0, 150.0), (300.0, 395.0)] == list(zip(found.started, found.stopped, strict=True))  # fmt: skip
    assert [True, True, False, True] == found.cold.tolist()


def test_nobody_starves() -> None:
    """Urgent requests that come without end do not keep the others waiting longer than for a start."""
    arrivals = np.concatenate([[0.0, 0.5], np.arange(1, 400) * 9.0])
    services, ranks = np.full(401, 10.0), np.array([0, 1] + [0] * 399)
    asked = {"start": 30.0, "idle": 60.0, "ranks": ranks}
    alone = replay.elastic(arrivals, services, limit=1, **asked)  # type: ignore[arg-type]
    more = replay.elastic(arrivals, services, limit=9, **asked)  # type: ignore[arg-type]

    assert 30.0 + 400 * 10.0 - 0.5 == alone.waits[1]  # no more may be started: it goes last of all
    assert 60.0 >= more.waits[1]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("sizes", [(0, 1), (0, 4), (0, 40), (2, 3)])
def test_started_simulated(seed: int, sizes: tuple[int, int]) -> None:
    """Waits and lives are those of GPUs played as processes in SimPy, on random requests."""
    drawn = loads(seed, 400, gap=12.0, mean=30.0)
    start, idle = [(180.0, 60.0), (20.0, 300.0), (45.0, 0.5)][seed % 3]
    waits, lives = urgent.simpy_elastic(drawn, start=start, idle=idle, sizes=sizes)
    for engine in ENGINES:
        found = replay.elastic(
            *drawn[:2], start=start, idle=idle, reserved=sizes[0], limit=sizes[1], ranks=drawn[2], engine=engine
        )  # fmt: skip
        assert waits == found.waits.tolist()
        assert lives == list(zip(found.started, found.stopped, strict=True))


@settings(deadline=None, max_examples=200)
@given(STEPS, st.integers(1, 6), st.integers(0, 6), st.integers(0, 6))
def test_alike(steps: list[tuple[int, int]], limit: int, start: int, idle: int) -> None:
    """Where nobody is more urgent, GPUs come and go as without ranks, at ties too."""
    table = np.array(steps, dtype=np.float64)
    arrivals, services = np.cumsum(table[:, 0]), table[:, 1].copy()
    ranks = np.ones(len(table), dtype=np.int64)
    plain = replay.elastic(arrivals, services, start=start, idle=idle, limit=limit)
    found = replay.elastic(arrivals, services, start=start, idle=idle, limit=limit, ranks=ranks)

    assert plain.waits.tolist() == found.waits.tolist()
    assert plain.started.tolist() == found.started.tolist()
    assert sorted(plain.stopped) == sorted(found.stopped)
    assert plain.cold.tolist() == found.cold.tolist()


@pytest.mark.parametrize("engine", ENGINES)
def test_timetable_by_hand(engine: Engine) -> None:
    """When the hour opens the urgent request goes first, though it came last."""
    arrivals, services = np.array([100.0, 200.0, 300.0]), np.full(3, 60.0)
    table = Timetable(np.array([0, 1]), 0.0)
    found = replay.timed(arrivals, services, table, ranks=np.array([1, 1, 0]), engine=engine)

    assert [HOUR + 60 - 100, HOUR + 120 - 200, HOUR - 300] == found.waits.tolist()


@pytest.mark.parametrize("counts", [[0, 2], [0, 0, 1], [3, 0]])
def test_timetable_simulated(counts: list[int]) -> None:
    """Every request starts when it does in SimPy, where closed GPUs take no work."""
    drawn = loads(sum(counts), 500, gap=100.0, mean=60.0)
    expected = urgent.simpy_timed(drawn, counts)
    for engine in ENGINES:
        found = replay.timed(*drawn[:2], Timetable(np.array(counts), 0.0), ranks=drawn[2], engine=engine)  # fmt: skip
        assert expected == pytest.approx(found.waits.tolist(), abs=1e-6)


@pytest.mark.parametrize("engine", ENGINES)
def test_together_by_hand(engine: Engine) -> None:
    """A model's replica takes the urgent request first; beside it the neighbour gets its even part."""
    arrivals, services = np.array([0.0, 1.0, 2.0, 2.0]), np.array([10.0, 10.0, 10.0, 20.0])
    owner, ranks = np.array([0, 0, 0, 1]), np.array([1, 1, 0, 1])
    pair = Replicas(np.zeros(2, dtype=np.int64), np.arange(2), np.array([[1.0, 1.0]]))
    found = replay.together(arrivals, services, owner, pair, ranks=ranks, engine=engine)

    # 8 s of the first are left at 2 s, at half the pace until 18; then the urgent third until 38,
    # when the neighbour has had 18 of its 20 s: done at 42; the second has had 2, and 8 are left
    assert [0.0, 38.0, 18.0, 2.0] == found.starts.tolist()
    assert [18.0, 50.0, 38.0, 42.0] == found.ends.tolist()


@pytest.mark.parametrize("seed", range(3))
def test_together_simulated(seed: int) -> None:
    """Every request on a shared GPU ends when it does in SimPy."""
    drawn = loads(seed, 300, gap=40.0, mean=25.0)
    owner = np.random.default_rng(seed).integers(0, 3, 300)
    replicas = Replicas(np.zeros(3, dtype=np.int64), np.arange(3), np.array([[1.0, 0.9]]))
    expected = urgent.simpy_apart(drawn, owner, 0.1)
    for engine in ENGINES:
        found = replay.together(*drawn[:2], owner, replicas, ranks=drawn[2], engine=engine)
        assert expected.tolist() == pytest.approx(found.ends.tolist(), abs=1e-5)
