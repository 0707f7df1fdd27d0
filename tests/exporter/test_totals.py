"""Running totals: what adds up, what a gap leaves out, and what stands in where a counter is missing."""

from __future__ import annotations

import pytest

from exporter.totals import GPM_GAP, POLL_GAP, Energy, Throttling, Work
from lightmeter.catalog import Dcgm, Throttle


POWER_CAP, THERMAL_SLOWDOWN = 0x4, 0x40


def test_sm_active() -> None:
    """Multiprocessor time is the average over the time that it is the average of; a gap is left out."""
    work = Work()
    work.take([], (0.0, 0.0))
    work.profile(0.5, {2: 0.4})
    work.profile(2.0, {2: 0.25})
    work.profile(GPM_GAP + 1, {2: 1.0})

    assert 0.7 == pytest.approx(work.sm_active)
    assert not work.known


def test_busy_by_profile() -> None:
    """Where there is neither ring nor poll, as in a MIG instance, busy time is the profile's."""
    work = Work()
    work.take([], (0.0, 0.0))
    work.profile(0.5, {1: 0.4})

    assert work.known
    assert [0.2, 0.5] == pytest.approx([work.ring.active, work.ring.covered])


def test_busy_once() -> None:
    """Where it is polled, the profile's does not count again."""
    work = Work()
    work.take([], (0.5, 0.5))
    work.profile(0.5, {1: 1.0})

    assert [0.5, 0.5] == pytest.approx([work.ring.active, work.ring.covered])


def test_energy() -> None:
    """A counter in millijoules is taken as it is, and goes on where the driver's begins anew."""
    energy = Energy()
    for millijoules in (5000.0, 8000.0, 1000.0):
        energy.take(0.0, {Dcgm.ENERGY: millijoules, Dcgm.POWER_USAGE: 300.0})

    assert 9.0 == energy.joules
    assert not energy.integrated


def test_energy_from_power() -> None:
    """Without a counter power is integrated, but not over a gap."""
    energy = Energy()
    for at, watts in ((10.0, 100.0), (12.0, 200.0), (12.0 + POLL_GAP + 1, 900.0)):
        energy.take(at, {Dcgm.POWER_USAGE: watts})

    assert 300.0 == energy.joules
    assert energy.integrated


def test_throttled() -> None:
    """Counters are told in seconds; without any, what holds at a look has held since the last one."""
    counted, polled = Throttling(), Throttling()
    counted.take(1.0, {74: 2.5e9}, POWER_CAP | THERMAL_SLOWDOWN)
    for elapsed, reasons in ((1.0, POWER_CAP), (0.5, THERMAL_SLOWDOWN), (POLL_GAP + 1, POWER_CAP)):
        polled.take(elapsed, {}, reasons)

    assert {Throttle.POWER: 2.5} == counted.seconds
    assert {Throttle.POWER: 1.0, Throttle.THERMAL: 0.5, Throttle.SYNC_BOOST: 0.0} == polled.seconds


def test_throttling_unknown() -> None:
    """A device that tells nothing of its clocks has no such totals."""
    silent = Throttling()
    silent.take(1.0, {}, None)

    assert {} == silent.seconds
