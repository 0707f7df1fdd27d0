"""Marks on a device that works behind the host's back."""

from __future__ import annotations

from functools import partial

import pytest

from inference.stopwatch import Stopwatch, host_watch
from lightmeter.catalog import Clock
from support.device import Device, DeviceEvent


def watch_of(device: Device) -> Stopwatch:
    return Stopwatch(Clock.CUDA_EVENT, partial(DeviceEvent, device))


def test_reads_the_device() -> None:
    """Each time is the work's own, however early the host queued it."""
    device = Device()
    watch = watch_of(device)
    watch.start()
    for milliseconds in (20.0, 100.0, 100.0, 50.0):
        device.work(milliseconds)
        watch.mark()

    assert [] == device.waits
    assert [0, 0.02, 0.12, 0.22, 0.27] == pytest.approx(watch.read())
    assert [270.0] == device.waits


def test_keeps_pace() -> None:
    """The host never runs more than a step ahead, and the device never finds its queue empty."""
    device = Device()
    watch = watch_of(device)
    watch.start()
    ahead = []
    for _ in range(6):
        device.work(100)
        watch.mark()
        watch.keep_pace()
        ahead.append(device.ahead)

    assert [100.0] * 6 == ahead


def test_starts_afresh() -> None:
    """A batch that ended early leaves no marks in the next one's times."""
    device = Device()
    watch = watch_of(device)
    for steps in (5, 2):
        watch.start()
        for _ in range(steps):
            device.work(10)
            watch.mark()

    assert [0, 0.01, 0.02] == pytest.approx(watch.read())


def test_host() -> None:
    """Without a device's clock the host's is read, and it says so."""
    watch = host_watch()
    watch.start()
    watch.mark()
    watch.keep_pace()
    began, later = watch.read()

    assert Clock.HOST is watch.clock
    assert 0 == began <= later
