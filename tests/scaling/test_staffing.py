"""Staffing: textbook values, and what one more server is worth."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lightmeter import replay
from lightmeter.scaling import staffing
from support import oracles


@pytest.mark.parametrize(
    ("servers", "load", "waiting"),
    [(1, 0.5, 0.5), (2, 1.0, 1 / 3), (3, 2.0, 4 / 9), (10, 8.0, 0.40918015), (5, 4.0, 0.55411255)],
)
def test_erlang_c(servers: int, load: float, waiting: float) -> None:
    """The probability of waiting is the textbook's."""
    assert waiting == pytest.approx(staffing.erlang_c(servers, load), rel=1e-7)


def test_mean_wait() -> None:
    """The mean wait that follows is that of an independent statement of the formula."""
    rate, mean, servers = 0.8, 4.0, 4
    waiting = staffing.erlang_c(servers, rate * mean)

    assert oracles.erlang_c_wait(rate, mean, servers) == pytest.approx(
        waiting * mean / (servers - rate * mean)
    )


def test_late_ratio() -> None:
    """The share of late requests is that of a long replay of M/M/3."""
    rng = np.random.default_rng(1)
    arrivals = np.cumsum(rng.exponential(1 / 2.4, 200_000))
    waits = replay.waits(arrivals, rng.exponential(1.0, 200_000), 3, "python")

    assert float((waits > 0.5).mean()) == pytest.approx(
        staffing.late_ratio(3, 2.4, 0.5, 1.0), abs=0.015
    )


def test_edges() -> None:
    """No load never waits; more load than servers always does; even services wait less."""
    assert 0.0 == staffing.erlang_c(2, 0.0)
    assert 1.0 == staffing.late_ratio(2, 2.0, 1.0, 1.0)
    assert staffing.late_ratio(3, 2.0, 1.0, 0.2) < staffing.late_ratio(3, 2.0, 1.0, 1.0)


def test_staff() -> None:
    """One more replica is taken while it saves more than it costs, and none for a trickle."""
    assert 0 == staffing.staff(0.01, worth=10.0, patience=1.0, scv=1.0, most=8)
    few = staffing.staff(2.0, worth=10.0, patience=1.0, scv=1.0, most=8)
    many = staffing.staff(2.0, worth=100.0, patience=1.0, scv=1.0, most=8)

    assert 2 < few < many <= 8
    for servers in range(9):
        cost = servers + 20.0 * staffing.late_ratio(servers, 2.0, 1.0, 1.0)
        assert few + 20.0 * staffing.late_ratio(few, 2.0, 1.0, 1.0) <= cost + 1e-9


def test_overload() -> None:
    """More work than all replicas can do asks for all of them, not for none."""
    assert 8 == staffing.staff(9.0, worth=30.0, patience=1.0, scv=1.0, most=8)
    assert 8 == staffing.staff(7.99, worth=30.0, patience=1.0, scv=1.0, most=8)


def test_rescue() -> None:
    """Those whom a started replica still reaches in time are not late."""
    none = staffing.rescue(1, 1, more=0, wait=30.0, start=20.0, service=30.0)

    assert math.exp(-1) == pytest.approx(none)  # the one that waits is late where nobody ends
    assert 0.0 == staffing.rescue(1, 1, more=1, wait=30.0, start=20.0, service=30.0)
    assert staffing.rescue(5, 1, more=1, wait=30.0, start=20.0, service=30.0) > 2
