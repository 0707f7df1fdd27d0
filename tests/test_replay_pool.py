"""The shared pool: who goes where when a GPU holds one model and swapping it takes time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightmeter import replay
from lightmeter.replay import Floats, Integers
from support import oracles


A, B, C = 0, 1, 2
REQUESTS = st.lists(
    st.tuples(st.integers(0, 100), st.integers(0, 400), st.integers(0, 4)), min_size=1, max_size=40
)


def load(requests: list[tuple[int, int, int]]) -> tuple[Floats, Floats, Integers]:
    """Turn gaps and services in sixteenths of a second, and models, into arrays."""
    table = np.array(requests)
    models = np.unique(table[:, 2], return_inverse=True)[1]  # without gaps, as the planner has them
    return np.cumsum(table[:, 0]) / 16, table[:, 1] / 16, models


def play(
    requests: list[tuple[float, float, int]], *, servers: int, swap: float
) -> tuple[list[float], list[bool]]:
    """Replay (arrival, service, model) and return the waits and the swaps."""
    arrivals, services, models = (np.array(column) for column in zip(*requests, strict=True))
    found = replay.pool(arrivals, services, models, servers=servers, swap=swap)
    return found.waits.tolist(), found.swapped.tolist()


def test_by_hand() -> None:
    """One GPU, holding the popular model: the other one costs a swap there and a swap back."""
    requests = [(0.0, 10.0, A), (20.0, 10.0, B), (25.0, 10.0, A), (60.0, 10.0, A)]

    # B starts at 20 + 5; A has to wait for its end at 35 and for the swap back
    assert ([0.0, 5.0, 15.0, 0.0], [False, True, True, False]) == play(requests, servers=1, swap=5)


def test_affinity() -> None:
    """A request waits for the GPU that has its model where that is sooner than a swap elsewhere."""
    requests = [(0.0, 10.0, A), (0.0, 1.0, B), (2.0, 1.0, A)]

    # the other GPU idles from 1 s on; a swap there takes until 2 + 9, A's own GPU is free at 10
    assert ([0.0, 0.0, 8.0], [False, False, False]) == play(requests, servers=2, swap=9)
    # a quick swap is taken: it starts at 2 + 7
    assert ([0.0, 0.0, 7.0], [False, False, True]) == play(requests, servers=2, swap=7)


def test_tie_keeps_the_model() -> None:
    """Where waiting takes as long as swapping, nothing is swapped."""
    requests = [(0.0, 10.0, A), (0.0, 1.0, B), (2.0, 1.0, A)]

    assert ([0.0, 0.0, 8.0], [False, False, False]) == play(requests, servers=2, swap=8)


def test_longest_idle_gives_way() -> None:
    """A new model replaces the one whose GPU has been idle longest."""
    begin = [(0.0, 5.0, A), (0.0, 1.0, B), (20.0, 1.0, C)]  # B's GPU idles longer than A's

    assert [False, False, True, False] == play([*begin, (30.0, 1.0, A)], servers=2, swap=3)[1]
    assert [False, False, True, True] == play([*begin, (30.0, 1.0, B)], servers=2, swap=3)[1]


def test_popular_models_first() -> None:
    """At the start the models used most are loaded, over again where GPUs are left."""
    calls = [(0.0, 1.0, B), (100.0, 1.0, A), (200.0, 1.0, B)]

    assert [False, True, True] == play(calls, servers=1, swap=2)[1]
    assert [False, False, False] == play(calls, servers=2, swap=2)[1]
    crowd = [(0.0, 9.0, B), (0.0, 9.0, B), (0.0, 9.0, A)]
    assert ([0.0, 0.0, 0.0], [False] * 3) == play(crowd, servers=3, swap=2)


def test_absent_models() -> None:
    """A model that nobody asks for is not loaded, whatever numbers the others have."""
    assert [False, False] == play([(0.0, 9.0, C), (0.0, 9.0, C)], servers=2, swap=5)[1]


@settings(deadline=None)
@given(REQUESTS, st.integers(1, 6))
def test_free_swap(requests: list[tuple[int, int, int]], servers: int) -> None:
    """If swapping takes no time, a pool of many models waits as one of a single model."""
    arrivals, services, models = load(requests)
    found = replay.pool(arrivals, services, models, servers=servers, swap=0.0)

    assert replay.waits(arrivals, services, servers).tolist() == found.waits.tolist()


@settings(deadline=None)
@given(REQUESTS, st.integers(1, 6), st.integers(0, 500))
def test_one_model(requests: list[tuple[int, int, int]], servers: int, swap: int) -> None:
    """A pool of one model never swaps, however long that would take."""
    arrivals, services, models = load(requests)
    found = replay.pool(arrivals, services, models * 0, servers=servers, swap=float(swap))

    assert replay.waits(arrivals, services, servers).tolist() == found.waits.tolist()
    assert not found.swapped.any()


@settings(deadline=None, max_examples=300)
@given(REQUESTS, st.integers(1, 6), st.integers(0, 500))
def test_rule(requests: list[tuple[int, int, int]], servers: int, swap: int) -> None:
    """Every request goes where the documented rule sends it, ties included."""
    arrivals, services, models = load(requests)
    found = replay.pool(arrivals, services, models, servers=servers, swap=swap / 16)

    expected = oracles.pool_rule(arrivals, services, models, servers=servers, swap=swap / 16)
    assert expected == (found.waits.tolist(), found.swapped.tolist())


def test_rule_on_a_long_day() -> None:
    """The rule holds over thousands of requests off the grid as well."""
    rng = np.random.default_rng(5)
    arrivals, services = np.cumsum(rng.exponential(6.0, 4000)), rng.lognormal(3.2, 0.5, 4000)
    models = np.unique(rng.zipf(1.6, 4000) % 30, return_inverse=True)[1]
    found = replay.pool(arrivals, services, models, servers=6, swap=22.7)

    assert 500 < found.swapped.sum() < 3500
    expected = oracles.pool_rule(arrivals, services, models, servers=6, swap=22.7)
    assert expected == (found.waits.tolist(), found.swapped.tolist())


def test_no_servers() -> None:
    """A pool of zero GPUs is refused, as `waits` refuses it."""
    with pytest.raises(ValueError, match="0 GPUs are asked for"):
        play([(0.0, 1.0, A)], servers=0, swap=1)


def test_nobody() -> None:
    """No requests, no waits and no swaps."""
    nothing = np.array([], dtype=np.float64)
    found = replay.pool(nothing, nothing, nothing.astype(np.int64), servers=2, swap=1.0)

    assert ([], []) == (found.waits.tolist(), found.swapped.tolist())


@pytest.mark.parametrize("engine", ["python", "numba"])
def test_read_only(engine: replay.Engine) -> None:
    """Columns of a table, which may not be written to, are replayed as they are."""
    columns = [np.array([0.0, 1.0, 2.0]), np.array([5.0, 5.0, 5.0]), np.array([0, 1, 0])]
    for column in columns:
        column.flags.writeable = False
    arrivals, services, models = columns

    found = replay.pool(arrivals, services, models, servers=1, swap=2.0, engine=engine)

    assert [0.0, 6.0, 12.0] == found.waits.tolist()
