"""When samplers are started, killed and started again."""

from __future__ import annotations

import pytest

from exporter.watch import LONGEST_WAIT, Do, Watch
from lightmeter.catalog import GpuState


def watch(**known: float) -> Watch:
    return Watch(**({"silence": 3.0, "start": 15.0} | known))


def reason(one: Watch, now: float) -> str:
    return one.health(now, 0, None).reason


def test_start() -> None:
    """A GPU is starting until it has said something, then it is up."""
    one = watch()

    assert Do.START == one.due(0)
    one.started(0)
    assert (Do.NOTHING, GpuState.STARTING) == (one.due(10), reason(one, 10))
    one.sampled(11, 11)
    assert (Do.NOTHING, GpuState.OK) == (one.due(13), reason(one, 13))
    assert 2 == one.age(13)


def test_silence() -> None:
    """A GPU that falls silent is hung; its sampler is killed, and no other started until it is gone."""
    one = watch()
    one.started(0)
    one.sampled(100, 100)

    assert (Do.NOTHING, GpuState.OK) == (one.due(103), reason(one, 103))
    assert (Do.KILL, GpuState.HUNG) == (one.due(103.1), reason(one, 103.1))
    one.killed()
    assert Do.NOTHING == one.due(10_000)
    one.ended(10_000)
    assert (Do.START, GpuState.HUNG) == (one.due(10_000), reason(one, 10_000))


def test_recovery() -> None:
    """The first sample after a hang ends it."""
    one = watch()
    one.started(0)
    one.killed()
    one.ended(20)
    one.started(21)
    one.sampled(22, 22)

    assert GpuState.OK == reason(one, 23)


def test_start_is_patient() -> None:
    """A driver that is slow to begin is given longer each time."""
    one = watch()
    waits = []
    now = 0.0
    for _ in range(5):
        one.started(now)
        begun = now
        while one.due(now) is not Do.KILL:
            now += 1
        waits.append(now - begun)
        one.killed()
        one.ended(now)

    assert [16, 31, 61, 121, 121] == waits


def test_start_in_haste() -> None:
    """A GPU that has begun quickly before is not waited for as long as one that never has."""
    one = watch()
    one.started(0)
    one.sampled(0.5, 0.5)
    one.killed()
    one.ended(10)
    one.started(10)

    assert (Do.NOTHING, Do.KILL) == (one.due(15), one.due(16.5))


def test_back_off() -> None:
    """A sampler that fails again and again is started ever more seldom, but always again."""
    one = watch()
    waits = []
    now = 0.0
    for _ in range(8):
        one.started(now)
        one.failed(GpuState.LOST, "GPU is lost")
        one.ended(now)
        begun = now
        while one.due(now) is not Do.START:
            now += 0.5
        waits.append(now - begun)

    assert [0, 1, 2, 4, 8, LONGEST_WAIT, LONGEST_WAIT, LONGEST_WAIT] == waits
    assert GpuState.LOST == reason(one, now)


def test_away_for_days() -> None:
    """A GPU that is away for days is asked for again and again, for as long as it takes."""
    one, now = watch(), 0.0
    for _ in range(5000):
        one.started(now)
        one.failed(GpuState.LOST, "GPU is lost")
        one.due(now)
        one.ended(now)
        now += LONGEST_WAIT

    assert Do.START is one.due(now)


def test_well_again() -> None:
    """After a sampler has lived for a while an end is a first failure again."""
    one = watch()
    for moment in range(4):
        one.started(moment)
        one.ended(moment)
    one.started(20)
    one.sampled(21, 21)
    one.sampled(40, 40)
    one.ended(41)

    assert Do.START == one.due(41)


def test_killed_from_outside() -> None:
    """Where a sampler dies while its data is fresh the GPU stays up: the next one is there at once."""
    one = watch()
    one.started(0)
    one.sampled(50, 50)
    one.ended(50.1)

    assert (Do.START, GpuState.OK) == (one.due(50.1), reason(one, 50.2))
    assert 0.25 == one.age(50.25)


@pytest.mark.parametrize("times", [1, 20])
def test_divided_anew(times: int) -> None:
    """A change of MIG is no failure, however often it comes."""
    one = watch()
    for moment in range(times):
        one.started(moment)
        one.sampled(moment, moment)
        one.failed(GpuState.MIG_CHANGED, "")
        one.ended(moment)

    assert (Do.START, GpuState.MIG_CHANGED) == (one.due(times), reason(one, times))
