"""Several models on a GPU at once: processor sharing, against Ciw, a restatement and the textbook."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightmeter import replay
from lightmeter.replay import Engine, Floats, Replicas
from support import oracles, queues


ENGINES: tuple[Engine, ...] = ("python", "numba")


def one_gpu(slots: int, services: int = 1, loss: float = 0.0) -> Replicas:
    """Put so many replicas of each service on a GPU."""
    return Replicas(
        gpu=np.zeros(slots * services, dtype=np.int64),
        service=np.repeat(np.arange(services), slots),
        speeds=np.array([[1.0, 1.0 - loss]]),
    )


def alone(n: int) -> replay.Integers:
    """Let all requests be of one service."""
    return np.zeros(n, dtype=np.int64)


@pytest.mark.parametrize("engine", ENGINES)
def test_by_hand(engine: Engine) -> None:
    """Two pictures of 10 s on one GPU take 15 and 20 s where the second comes in the middle."""
    arrivals, services = np.array([0.0, 5.0]), np.full(2, 10.0)
    found = replay.together(arrivals, services, alone(2), one_gpu(2), engine=engine)

    # 5 s alone, then 5 s of work at half the pace; the other has 5 s left by then
    assert [0.0, 5.0] == found.starts.tolist()
    assert [15.0, 20.0] == found.ends.tolist()
    queued = replay.together(arrivals, services, alone(2), one_gpu(1), engine=engine)
    assert ([0.0, 10.0], [10.0, 20.0]) == (queued.starts.tolist(), queued.ends.tolist())


@pytest.mark.parametrize("most", [1, 2, 5, 4000])
def test_simulator(most: int) -> None:
    """Every customer ends when it does at Ciw's processor-sharing node."""
    n, rng = 1500, np.random.default_rng(most)
    arrivals, services = np.cumsum(rng.exponential(1.25, n)), rng.lognormal(-0.15, 0.549, n)
    found = replay.together(arrivals, services, alone(n), one_gpu(most))

    assert queues.ciw_sharing(arrivals, services, most) == pytest.approx(found.ends, abs=1e-6)


@pytest.mark.parametrize("kind", ["exponential", "constant", "lognormal"])
@pytest.mark.parametrize("use", [0.5, 0.8])
def test_insensitive(use: float, kind: str) -> None:
    """The mean time in M/G/1-PS is E[S] / (1 - load), whatever the services: within its interval."""
    n, runs = 40_000, 10
    rng = np.random.default_rng(int(use * 10))
    means = []
    for _ in range(runs):
        services = {
            "exponential": rng.exponential(1.0, n),
            "constant": np.full(n, 1.0),
            "lognormal": rng.lognormal(-0.125, 0.5, n),
        }[kind]
        arrivals = np.cumsum(rng.exponential(1 / use, n))
        found = replay.together(arrivals, services, alone(n), one_gpu(120))
        means.append(float((found.ends - arrivals)[n // 10 :].mean()))
    # 2.26 is Student's quantile of ten runs; twice that leaves six cases no room for chance
    half = 2 * 2.26 * float(np.std(means, ddof=1)) / runs**0.5

    assert 1 / (1 - use) == pytest.approx(float(np.mean(means)), abs=half)
    assert half < 0.15 / (1 - use)


LOADS = st.lists(
    st.tuples(st.floats(0.01, 5), st.floats(0.1, 20), st.integers(0, 2)), min_size=1, max_size=30
)
PLACES = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=5
)  # fmt: skip


@settings(deadline=None)
@given(LOADS, PLACES, st.floats(0, 0.5))
def test_rule(
    requests: list[tuple[float, float, int]], places: list[tuple[int, int]], loss: float
) -> None:
    """Whoever plays it event by event gets the same; compiled or not, the same floats."""
    gaps, services, names = (np.array(column) for column in zip(*requests, strict=True))
    places = [*places, *((0, service) for service in range(3))]
    gpu, service = (np.array(column) for column in zip(*sorted(places), strict=True))
    arrivals: Floats = np.cumsum(gaps)
    replicas = Replicas(gpu, service, np.array([[1.0, 1.0 - loss]] * 3))
    found = replay.together(arrivals, services, names, replicas, engine="python")

    residents = [queues.Resident(int(g), int(s)) for g, s in zip(gpu, service, strict=True)]
    starts, ends = queues.sharing_rule(arrivals, services, names, residents, loss=loss)
    assert starts == pytest.approx(found.starts, abs=1e-6)
    assert ends == pytest.approx(found.ends, abs=1e-6)
    fast = replay.together(arrivals, services, names, replicas, engine="numba")
    assert found.ends.tolist() == fast.ends.tolist()
    assert found.replica.tolist() == fast.replica.tolist()


def test_one_replica_each_is_a_queue() -> None:
    """A service alone on its GPUs is the plain queue of as many GPUs."""
    rng, n = np.random.default_rng(4), 3000
    arrivals = oracles.arrivals_at(2.5, n, seed=4)
    services = oracles.on_grid(rng.lognormal(-0.1, 0.5, n))
    apart = Replicas(np.arange(3), np.zeros(3, dtype=np.int64), np.ones((3, 1)))
    found = replay.together(arrivals, services, alone(n), apart)

    assert replay.waits(arrivals, services, 3) == pytest.approx(found.starts - arrivals, abs=1e-6)


def test_no_replica() -> None:
    """A service without a replica is refused, not waited for."""
    with pytest.raises(ValueError, match="service 3 has requests and no replica"):
        replay.together(np.zeros(1), np.ones(1), np.array([3]), one_gpu(2, services=2))
