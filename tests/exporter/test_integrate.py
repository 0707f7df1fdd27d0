"""What the meters count, held against what is true."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from exporter.integrate import Integral, Native, ProcessMeter, RingMeter, SlidingMax
from exporter.reader import LOOK_BACK, RING_SECONDS, SHARES_SECONDS, Cursor
from support.nvml import Wave


CLOCK = 1_790_000_000.0
"""The driver's clock where ours stands at 0."""
DRY_PERIOD = 0.2
"""Seconds between the samples of a ring that leaves the idle ones out."""
UNHURRIED = settings(deadline=None)
periods = st.sampled_from([1 / 6, 0.1, 0.5, 1.0])
drains = st.lists(st.floats(0.2, 0.9), min_size=160, max_size=240)
waves = st.builds(
    Wave,
    period=st.floats(2.0, 40.0),
    length=st.floats(0.2, 1.5),
    phase=st.floats(0, 20),
    level=st.floats(0.1, 1.0),
)


def ring(
    wave: Wave, period: float, between: tuple[float, float], *, dry: bool
) -> list[tuple[float, float]]:
    """Tell what a driver's ring has for a time: whole percents, idle samples perhaps left out."""
    found = []
    for i in range(math.floor(between[0] / period) + 1, math.floor(between[1] / period) + 1):
        share = round(100 * wave.seconds((i - 1) * period, i * period) / period) / 100
        if share or not dry:
            found.append((CLOCK + i * period, share))
    return found


def play(wave: Wave, period: float, steps: list[float], *, dry: bool, delay: float) -> RingMeter:
    """Drain a ring as time passes, as a sampler does."""
    meter, cursor = RingMeter(), Cursor(0.0, RING_SECONDS)
    at = 20.0
    for elapsed in steps:
        at += elapsed
        since = cursor.since()
        begin = max(at - delay - 20, since - CLOCK)
        held = ring(wave, period, (begin, at - delay), dry=dry)
        samples = [sample for sample in held if sample[0] > since]
        last = math.floor(at / period) * period
        meter.add(samples, wave.seconds(last - period, last) / period, elapsed)
        cursor.move(max(samples)[0] if samples else None, elapsed)
    return meter


@UNHURRIED
@given(
    wave=waves,
    period=periods,
    steps=drains,
    dry=st.booleans(),
    delay=st.sampled_from([0.0, 0.4]),
)
@example(wave=Wave(15, 1, 0.3), period=1 / 6, steps=[0.5] * 240, dry=True, delay=0.0)
def test_ring(*, wave: Wave, period: float, steps: list[float], dry: bool, delay: float) -> None:
    """Bursts of any length and rhythm are counted to half a percentage point, also by a dry ring.

    Not by one that is dry and slow: there the pauses cannot be told from samples to come.
    """
    assume(not dry or period < DRY_PERIOD)
    meter = play(wave, period, steps, dry=dry, delay=delay)
    end = 20 + sum(steps)
    truth = wave.seconds(20 + steps[0], end)

    assert abs(meter.active - truth) <= 0.005 * sum(steps) + 2 * period + delay
    assert meter.covered <= sum(steps) + period


@UNHURRIED
@given(waves, drains)
def test_full_ring_is_covered(wave: Wave, steps: list[float]) -> None:
    """A ring that shows idle time too covers all time but its own delay."""
    meter = play(wave, 1 / 6, steps, dry=False, delay=0.0)

    assert sum(steps) - steps[0] == pytest.approx(meter.covered, abs=0.4)


@UNHURRIED
@given(st.lists(st.tuples(st.floats(0.04, 0.06), st.floats(0, 1)), min_size=10))
def test_no_ring(polls: list[tuple[float, float]]) -> None:
    """Without a ring the polled value counts for the time since the last poll, and nothing else."""
    meter = RingMeter()
    for elapsed, share in polls:
        meter.add([], share, elapsed, ring=False)

    assert sum(elapsed * share for elapsed, share in polls) == pytest.approx(meter.active)
    assert sum(elapsed for elapsed, _ in polls) == pytest.approx(meter.covered)


def test_nothing_known() -> None:
    """Where neither ring nor poll says anything no time is covered."""
    meter = RingMeter()
    for _ in range(100):
        meter.add([], None, 0.5)

    assert (0.0, 0.0) == (meter.active, meter.covered)


def test_history_is_not_counted() -> None:
    """What the ring held before the exporter began is not counted."""
    meter = RingMeter()
    meter.add([(CLOCK + i, 1.0) for i in range(100)], None, 0.5)

    assert 0.0 == meter.active
    assert CLOCK + 99 == meter.seen


def test_lost_samples() -> None:
    """Samples that were overwritten before they were read are missing from the covered time."""
    meter = RingMeter()
    meter.add([(CLOCK + i / 6, 0.5) for i in range(7)], None, 0.5)
    meter.add([(CLOCK + 60, 1.0), (CLOCK + 60 + 1 / 6, 1.0)], None, 59.0)

    assert 2 / 6 == pytest.approx(meter.active)
    assert 2 / 6 == pytest.approx(meter.covered)


def test_samples_in_batches() -> None:
    """A ring that delivers late is waited for: nothing counts twice, polled or sampled."""
    meter = RingMeter()
    meter.add([(CLOCK, 0.0)], None, 0.5)
    for second in range(1, 61):
        meter.add([], 1.0, 0.5)
        batch = [(CLOCK + second - 1 + i / 6, 1.0) for i in range(1, 7)]
        meter.add(batch, None, 0.5)

    assert 60 == pytest.approx(meter.active)
    assert 60 == pytest.approx(meter.covered)


def test_samples_after_polls() -> None:
    """What was polled while the ring was silent does not count again when its samples come after all."""
    meter = RingMeter()
    meter.add([(CLOCK, 0.0)], None, 0.5)
    for _ in range(10):
        meter.add([], 1.0, 0.5)
    meter.add([(CLOCK + i / 6, 1.0) for i in range(1, 37)], None, 0.5)

    assert 6 == pytest.approx(meter.active)
    assert 6 == pytest.approx(meter.covered)


def test_clock_set_back() -> None:
    """Where the driver's clock is set back counting goes on after a while."""
    meter, cursor = RingMeter(), Cursor(0.0, RING_SECONDS)
    for step in range(220):
        now = CLOCK + step / 2 - (3600 if step > 20 else 0)
        held = [(now + i / 6, 1.0) for i in range(-3, 1)]
        samples = [sample for sample in held if sample[0] > cursor.since()]
        meter.add(samples, 1.0, 0.5)
        cursor.move(max(samples)[0] if samples else None, 0.5)

    assert 110 == pytest.approx(meter.active, rel=0.05)


def test_next_sampler() -> None:
    """The samples between two samplers are counted: the second asks from where the first left off."""
    meter = RingMeter()
    meter.add([(CLOCK, 0.0)], None, 0.5)
    meter.add([(CLOCK + 1 / 6, 1.0)], None, 0.5)
    assert CLOCK + 1 / 6 == Cursor(meter.seen, RING_SECONDS).since()
    meter.add([(CLOCK + i / 6, 1.0) for i in range(2, 13)], None, 0.0)

    assert 2 == pytest.approx(meter.active)
    assert 2 == pytest.approx(meter.covered)


def test_cursor_is_not_unsure_for_long() -> None:
    """A ring that is dry is looked at as a whole now and then only."""
    cursor = Cursor(CLOCK, RING_SECONDS)
    asked = []
    for _ in range(124):
        asked.append(cursor.since())
        cursor.move(None, 0.5)

    assert {0.0, CLOCK} == set(asked)
    assert 3 == asked.count(0.0)


@UNHURRIED
@given(st.lists(st.tuples(st.floats(0.01, 3), st.integers(0, 100)), min_size=1, max_size=200))
def test_peak(steps: list[tuple[float, int]]) -> None:
    """The peak is the highest value of the window, never of much longer ago."""
    peak = SlidingMax(10)
    moments = list(itertools.accumulate(elapsed for elapsed, _ in steps))
    for at, (_, value) in zip(moments, steps, strict=True):
        peak.add(at, value)
        pairs = list(zip(moments, (value for _, value in steps), strict=True))
        inside = [value for moment, value in pairs if at - 10 <= moment <= at]
        allowed = [value for moment, value in pairs if at - 11 <= moment <= at]
        found = peak.value(at)
        assert found is not None
        assert max(inside) <= found <= max(allowed)
        assert found == peak.value(at)


def test_peak_passes() -> None:
    """A peak is forgotten after its window, and an empty window has none."""
    peak = SlidingMax(60)
    peak.add(0, 9)

    assert 9 == peak.value(60)
    assert peak.value(62) is None


@UNHURRIED
@given(st.floats(0.05, 1), waves, st.lists(st.floats(0.5, 1.5), min_size=60, max_size=90))
def test_processes(share: float, wave: Wave, steps: list[float]) -> None:
    """A process's busy time is its share of the bursts, however long it was quiet between them."""
    meter, cursor = ProcessMeter(), Cursor(CLOCK + 20, SHARES_SECONDS)
    at = 20.0
    for elapsed in steps:
        at += elapsed
        asked = cursor.since(LOOK_BACK)
        begin = asked - CLOCK
        worked = share * wave.seconds(begin, at) / (at - begin)
        meter.add([(7, CLOCK + at, worked)] if worked else [], asked)
        cursor.move(CLOCK + at if worked else None, elapsed)

    assert share * wave.seconds(20, at) == pytest.approx(
        meter.busy.get(7, 0), abs=1e-6 + share * 0.02
    )


def test_processes_whole_buffer() -> None:
    """A driver that answers with many samples of a process is counted sample by sample."""
    meter = ProcessMeter()
    meter.add([(7, CLOCK + i, 0.5) for i in range(1, 5)], CLOCK)
    meter.add([(7, CLOCK + i, 0.5) for i in range(3, 7)], CLOCK + 2)

    assert {7: 3.0} == meter.busy
    assert CLOCK + 6 == meter.seen


def test_processes_gone() -> None:
    """A process that is gone is forgotten; one that never worked has worked no time."""
    meter = ProcessMeter()
    meter.add([(7, CLOCK + 3, 1.0), (8, CLOCK + 1, 1.0)], CLOCK)
    meter.keep([8, 9])

    assert {8: 1.0, 9: 0.0} == meter.busy


def test_processes_first_look() -> None:
    """What the driver remembers from before the exporter began is not counted."""
    meter, cursor = ProcessMeter(), Cursor(0.0, SHARES_SECONDS)

    assert 0 == cursor.since(LOOK_BACK)
    meter.add([(7, CLOCK, 1.0)], 0.0)
    assert {} == meter.busy
    cursor.move(CLOCK, 1.0)
    assert CLOCK == cursor.since(LOOK_BACK)


def test_power() -> None:
    """Power is integrated between readings, and not over a gap."""
    energy = Integral(5)
    for at, watts in ((0, 100), (1, 200), (2, 200), (60, 200), (61, 200)):
        energy.add(at, watts)

    assert 150 + 200 + 200 == energy.total


def test_native() -> None:
    """A driver's counter that begins anew does not take ours back."""
    counter = Native()

    assert [5, 9, 10, 12] == [counter.add(value) for value in (5, 9, 1, 3)]
