"""The replay kernel: waits in G/G/c, against two simulators and the textbook."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightmeter import replay
from lightmeter.replay import Engine, Floats
from support import oracles


ENGINES: tuple[Engine, ...] = ("python", "numba")
# whole 1/16 s, many of them equal or zero, so that sums are exact and ties are frequent
STEPS = st.tuples(st.integers(0, 100), st.integers(0, 400))
LOADS = st.lists(STEPS, min_size=1, max_size=40)


def load(steps: list[tuple[int, int]]) -> tuple[Floats, Floats]:
    """Turn gaps and services, in sixteenths of a second, into arrivals and services."""
    table = np.array(steps, dtype=np.float64) / 16
    return np.cumsum(table[:, 0]), table[:, 1].copy()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("servers", [1, 2, 4, 9])
def test_simulators(servers: int, engine: Engine) -> None:
    """Every customer waits exactly as long as in SimPy and in Ciw."""
    n = 3000
    arrivals = oracles.arrivals_at(0.9 * servers, n, seed=servers)
    services = oracles.on_grid(np.random.default_rng(7).exponential(1.0, n))
    found = replay.waits(arrivals, services, servers, engine)

    assert found.any()
    assert oracles.simpy_waits(arrivals, services, servers).tolist() == found.tolist()
    assert oracles.ciw_waits(arrivals, services, servers).tolist() == found.tolist()


@pytest.mark.parametrize("engine", ENGINES)
def test_simulators_any_float(engine: Engine) -> None:
    """Off the grid the simulators agree too, up to the rounding of the clocks they add up."""
    rng = np.random.default_rng(3)
    arrivals, services = np.cumsum(rng.exponential(0.4, 2000)), rng.lognormal(0.0, 0.5, 2000)
    found = replay.waits(arrivals, services, 3, engine)

    # both set the clock by now + (arrival - now), which may miss the arrival's last bit
    assert oracles.simpy_waits(arrivals, services, 3) == pytest.approx(found, abs=1e-9)
    assert oracles.ciw_waits(arrivals, services, 3) == pytest.approx(found, abs=1e-9)


@pytest.mark.parametrize("engine", ENGINES)
def test_by_hand(engine: Engine) -> None:
    """Two GPUs, four requests of 10 s: the third and fourth wait for the first and second."""
    arrivals, services = np.array([0.0, 1.0, 2.0, 30.0]), np.full(4, 10.0)

    assert [0.0, 0.0, 8.0, 0.0] == replay.waits(arrivals, services, 2, engine).tolist()
    assert [0.0, 9.0, 18.0, 0.0] == replay.waits(arrivals, services, 1, engine).tolist()


@pytest.mark.parametrize("engine", ENGINES)
def test_nobody(engine: Engine) -> None:
    """No requests, no waits."""
    assert [] == replay.waits(np.array([]), np.array([]), 2, engine).tolist()


@pytest.mark.parametrize("engine", ENGINES)
def test_no_servers(engine: Engine) -> None:
    """Zero GPUs are refused rather than waited for."""
    with pytest.raises(ValueError, match="0 GPUs are asked for; at least one"):
        replay.waits(np.array([0.0]), np.array([1.0]), 0, engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_unequal_lengths(engine: Engine) -> None:
    """A request without a service time is refused, by either engine, not read from nowhere."""
    with pytest.raises(ValueError, match="50 arrivals and 1 services"):
        replay.waits(np.arange(50.0), np.array([1.0]), 1, engine)


@pytest.mark.parametrize(("use", "servers"), [(0.5, 1), (0.8, 1), (0.8, 2), (0.8, 4), (0.9, 8)])
def test_erlang_c(use: float, servers: int) -> None:
    """The mean wait in M/M/c is Erlang's, within 3 % on two million customers."""
    rate, n = use * servers, 2_000_000
    rng = np.random.default_rng(servers)
    arrivals, services = np.cumsum(rng.exponential(1 / rate, n)), rng.exponential(1.0, n)
    mean = float(replay.waits(arrivals, services, servers, "numba").mean())

    assert oracles.erlang_c_wait(rate, 1.0, servers) == pytest.approx(mean, rel=0.03)


@pytest.mark.parametrize("kind", ["constant", "lognormal", "bimodal"])
def test_one_server(kind: str) -> None:
    """The mean wait in M/D/1 and M/G/1 is Pollaczek and Khinchine's, within 3 %."""
    n, rng = 2_000_000, np.random.default_rng(11)
    services = {
        "constant": np.full(n, 2.0),
        "lognormal": rng.lognormal(0.5, 0.549, n),
        "bimodal": np.where(rng.random(n) < 0.1, 10.0, 1.0),
    }[kind]
    rate = 0.7 / float(services.mean())
    arrivals = np.cumsum(rng.exponential(1 / rate, n))
    moments = float(services.mean()), float((services**2).mean())
    mean = float(replay.waits(arrivals, services, 1, "numba").mean())

    assert oracles.pollaczek_khinchine(rate, *moments) == pytest.approx(mean, rel=0.03)


@settings(deadline=None)
@given(LOADS, st.integers(1, 6))
def test_engines_agree(steps: list[tuple[int, int]], servers: int) -> None:
    """The compiled engine gives the same floats as the standard library's."""
    arrivals, services = load(steps)
    python = replay.waits(arrivals, services, servers, "python")

    assert python.tolist() == replay.waits(arrivals, services, servers, "numba").tolist()
    assert python.tolist() == replay.waits(arrivals, services, servers).tolist()


@given(
    st.lists(st.tuples(st.floats(0, 1e5), st.floats(0, 1e4)), min_size=1, max_size=40),
    st.integers(1, 6),
)
@settings(deadline=None)
def test_engines_agree_on_any_float(steps: list[tuple[float, float]], servers: int) -> None:
    """The engines agree to the last bit off the grid too."""
    table = np.array(steps)
    arrivals, services = np.cumsum(table[:, 0]), table[:, 1]  # a strided column is copied

    python = replay.waits(arrivals, services, servers, "python")
    assert python.tolist() == replay.waits(arrivals, services, servers, "numba").tolist()


@settings(deadline=None)
@given(LOADS, st.integers(1, 6))
def test_first_come(steps: list[tuple[int, int]], servers: int) -> None:
    """Nobody waits a negative time, and nobody is overtaken."""
    arrivals, services = load(steps)
    waits = replay.waits(arrivals, services, servers)

    assert (waits >= 0).all()
    assert (np.diff(arrivals + waits) >= 0).all()


@settings(deadline=None)
@given(LOADS, st.integers(1, 6))
def test_more_servers(steps: list[tuple[int, int]], servers: int) -> None:
    """One more GPU makes no request wait longer."""
    arrivals, services = load(steps)

    fewer, more = (replay.waits(arrivals, services, count) for count in (servers, servers + 1))
    assert (more <= fewer).all()


@settings(deadline=None)
@given(LOADS, st.integers(1, 6), st.integers(0, 10_000))
def test_shift(steps: list[tuple[int, int]], servers: int, later: int) -> None:
    """When the clock started does not matter."""
    arrivals, services = load(steps)

    now, then = (replay.waits(arrivals + by, services, servers) for by in (0, later))
    assert now.tolist() == then.tolist()


@settings(deadline=None)
@given(LOADS, st.integers(1, 6))
def test_at_most_servers_at_work(steps: list[tuple[int, int]], servers: int) -> None:
    """Never more requests run at once than there are GPUs, and a free GPU leaves nobody waiting."""
    arrivals, services = load(steps)
    starts = arrivals + replay.waits(arrivals, services, servers)
    ends = starts + services

    for at in starts:
        running = int(((starts <= at) & (ends > at)).sum())
        assert running <= servers
    for arrival, start in zip(arrivals, starts, strict=True):
        if start > arrival:  # until just before it started, every GPU was at work
            assert servers == int(((starts < start) & (ends >= start)).sum())
