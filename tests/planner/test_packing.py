"""Services on GPUs at the least price: against every way to do it, and a published example."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner import mixing, packing
from planner.packing import Cut, Group, Problem


def partitions(items: list[int]) -> Iterator[list[list[int]]]:
    """Every way to put items into groups."""
    if not items:
        yield []
        return
    first, rest = items[0], items[1:]
    for groups in partitions(rest):
        yield [[first], *groups]
        for place in range(len(groups)):
            yield [*groups[:place], [first, *groups[place]], *groups[place + 1 :]]


def legal(problem: Problem, kind: int, members: list[int], cuts: list[Cut]) -> bool:
    """Tell whether these services may be on one GPU of a type."""
    return (
        bool(np.isfinite(problem.load[members, kind]).all())
        and problem.vram[members].sum() <= problem.room[kind] + 1e-9
        and (len(members) == 1 or problem.load[members, kind].sum() <= problem.cap + 1e-9)
        and not any(of == kind and banned <= set(members) for of, banned in cuts)
    )


def cheapest(problem: Problem, cuts: list[Cut]) -> float:
    """Try every packing."""
    kinds = range(len(problem.price))
    best = np.inf
    for groups in partitions(list(range(len(problem.vram)))):
        prices = [
            min((problem.price[kind] for kind in kinds if legal(problem, kind, group, cuts)), default=np.inf)
            for group in groups
        ]  # fmt: skip
        best = min(best, float(sum(prices)))
    return best


def check(problem: Problem, groups: tuple[Group, ...], cuts: list[Cut]) -> None:
    """Everybody has a place, and no GPU holds more than it can."""
    assert list(range(len(problem.vram))) == sorted(one for _, members in groups for one in members)
    assert all(legal(problem, kind, list(members), cuts) for kind, members in groups)


SERVICES = st.lists(st.tuples(st.integers(1, 20), st.integers(1, 90)), min_size=1, max_size=6)
TYPES = st.lists(
    st.tuples(st.integers(20, 48), st.integers(2, 9), st.integers(1, 4)), min_size=1, max_size=3
)
CUTS = st.lists(
    st.tuples(st.integers(0, 2), st.sets(st.integers(0, 5), min_size=2, max_size=3)), max_size=4
)


def problem_of(services: list[tuple[int, int]], types: list[tuple[int, int, int]]) -> Problem:
    """Make a problem of (vram, load in percent) and (room, price, speed in halves)."""
    vram, load = (np.array(column, dtype=np.float64) for column in zip(*services, strict=True))
    room, price, speed = (np.array(column, dtype=np.float64) for column in zip(*types, strict=True))
    return Problem(vram, load[:, None] / 100 / (speed / 2), room, price, 0.8)


@settings(deadline=None, max_examples=60)
@given(SERVICES, TYPES, CUTS)
def test_brute_force(
    services: list[tuple[int, int]],
    types: list[tuple[int, int, int]],
    banned: list[tuple[int, set[int]]],
) -> None:
    """The program costs what the best of all packings costs; the heuristic no less than its bound."""
    problem = problem_of(services, types)
    cuts = [(kind, frozenset(names)) for kind, names in banned if kind < len(types) and max(names) < len(services)]  # fmt: skip
    found = packing.pack(problem, cuts)

    check(problem, found.groups, cuts)
    best = cheapest(problem, cuts)
    assert best == pytest.approx(found.cost, abs=1e-6)
    assert found.gap < 1e-6
    quick = packing.heuristic(problem, cuts)
    check(problem, quick.groups, cuts)
    assert quick.bound <= best + 1e-6 <= quick.cost + 2e-6


def test_melange() -> None:
    """Mélange's published example: three A10G and one A100 for 6.70 an hour.

    Rates and throughputs of melange/config/example.json, answer of README.md, in
    https://github.com/tyler-griggs/melange-release at d46ab43.
    """
    rates = 30.0 * np.array([0.2, 0.1, 0.5, 0.2])
    load = np.stack([rates / [2, 1, 5, 2], rates / [20, 20, 40, 20]], axis=1)
    found = mixing.mix(load, np.array([1.01, 3.67]))

    assert [3, 1] == found.gpus.tolist()
    assert 6.7 == pytest.approx(found.cost)
    assert found.bound == pytest.approx(found.cost)


@settings(deadline=None, max_examples=40)
@given(SERVICES, TYPES)
def test_mix_is_a_bound(services: list[tuple[int, int]], types: list[tuple[int, int, int]]) -> None:
    """Counting GPUs by load alone never costs more than packing them by load and memory."""
    problem = problem_of(services, types)
    found = mixing.mix(np.minimum(problem.load, problem.cap) / problem.cap, problem.price)

    assert found.cost <= packing.pack(problem).cost + 1e-6


def test_twenty_five() -> None:
    """Twenty-five services are still packed exactly or nearly so, and never worse than first fit."""
    rng = np.random.default_rng(5)
    problem = Problem(
        rng.uniform(4, 30, 25),
        np.outer(rng.uniform(0.02, 0.5, 25), [1.0, 0.45]),
        np.array([44.0, 80.0]),
        np.array([1.86, 3.67]),
        0.8,
    )
    found, quick = packing.pack(problem), packing.heuristic(problem)

    check(problem, found.groups, [])
    assert found.cost <= quick.cost
    assert found.gap <= quick.gap + 1e-9
    assert found.gap < 0.15


def test_ten_thousand() -> None:
    """Ten thousand services are packed by the heuristic, within a tenth of what is possible."""
    rng = np.random.default_rng(6)
    problem = Problem(
        rng.uniform(2, 20, 10_000),
        rng.exponential(0.03, 10_000)[:, None],
        np.array([40.0]),
        np.array([2.0]),
        0.8,
    )
    found = packing.pack(problem)

    assert sum(len(members) for _, members in found.groups) == 10_000
    assert found.bound <= found.cost <= 1.1 * found.bound


def test_fits_nowhere() -> None:
    """A service larger than every GPU is named."""
    problem = Problem(np.array([1.0, 99.0]), np.ones((2, 1)) / 9, np.array([44.0]), np.ones(1), 0.8)

    with pytest.raises(ValueError, match="service 1 fits on no GPU"):
        packing.pack(problem)
    with pytest.raises(ValueError, match="slice 0 fits on no GPU"):
        mixing.mix(np.full((1, 2), np.inf), np.ones(2))
