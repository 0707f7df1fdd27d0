"""Urgent requests first: waits by rank, against two simulators and the textbook."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightmeter import replay
from lightmeter.replay import Engine
from support import oracles, queues


ENGINES: tuple[Engine, ...] = ("python", "numba")
LOADS = st.lists(
    st.tuples(st.integers(0, 100), st.integers(0, 400), st.integers(0, 2)), min_size=1, max_size=40
)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("servers", [1, 3])
def test_simulators(servers: int, engine: Engine) -> None:
    """Every customer of either rank waits as long as in SimPy and in Ciw."""
    rng, n = np.random.default_rng(servers), 2000
    arrivals = oracles.arrivals_at(0.9 * servers, n, seed=servers)
    services = oracles.on_grid(rng.exponential(1.0, n)) + 2.0**-20
    ranks = (rng.random(n) < 0.4).astype(np.int64)
    found = replay.ranked(arrivals, services, ranks, servers, engine=engine)

    assert found[ranks == 0].mean() < found[ranks == 1].mean() / 2
    assert queues.simpy_ranked(arrivals, services, ranks, servers).tolist() == found.tolist()
    assert queues.ciw_ranked(arrivals, services, ranks, servers) == pytest.approx(found, abs=1e-9)


@pytest.mark.parametrize("engine", ENGINES)
def test_by_hand(engine: Engine) -> None:
    """A picture that is being made is not interrupted; the urgent one goes next, then the others."""
    arrivals, services = np.array([0.0, 1.0, 2.0, 3.0]), np.full(4, 10.0)
    found = replay.ranked(arrivals, services, np.array([1, 1, 0, 0]), 1, engine=engine)

    assert [0.0, 29.0, 8.0, 17.0] == found.tolist()


def test_cobham() -> None:
    """The mean wait of each rank in M/G/1 is Cobham's, within 3 %."""
    rng, n = np.random.default_rng(2), 2_000_000
    services = rng.lognormal(0.5, 0.549, n)
    rate = 0.8 / float(services.mean())
    ranks = (rng.random(n) < 0.3).astype(np.int64)
    found = replay.ranked(np.cumsum(rng.exponential(1 / rate, n)), services, ranks, 1)
    expected = queues.cobham(
        [0.7 * rate, 0.3 * rate], float(services.mean()), float((services**2).mean())
    )

    assert expected == pytest.approx(
        [float(found[ranks == rank].mean()) for rank in (0, 1)], rel=0.03
    )


@settings(deadline=None)
@given(LOADS, st.integers(1, 5))
def test_engines_agree(requests: list[tuple[int, int, int]], servers: int) -> None:
    """Compiled or not, the same floats; and with one rank those of first come, first served."""
    table = np.array(requests)
    arrivals, services = np.cumsum(table[:, 0]) / 16, table[:, 1] / 16
    python = replay.ranked(arrivals, services, table[:, 2], servers, engine="python")

    assert python.tolist() == replay.ranked(arrivals, services, table[:, 2], servers, engine="numba").tolist()  # fmt: skip
    alike = replay.ranked(arrivals, services, table[:, 2] * 0 + 1, servers)
    assert replay.waits(arrivals, services, servers).tolist() == alike.tolist()


def test_nobody() -> None:
    """No requests, no waits; no GPUs, an error that says so."""
    nothing = np.array([], dtype=np.float64)

    assert [] == replay.ranked(nothing, nothing, nothing.astype(np.int64), 1).tolist()
    with pytest.raises(ValueError, match="0 GPUs are asked for"):
        replay.ranked(np.zeros(1), np.ones(1), np.zeros(1, dtype=np.int64), 0)
