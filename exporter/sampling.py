"""The process that reads one GPU, so that a driver call that never returns takes only that GPU down.

It says what it knows in frames (`exporter.frames`) on a socket and listens to nobody; where it cannot
go on it says why and ends. Another sampler goes on from the memo in its last frame.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exporter import frames, nvml
from exporter.events import XidEvents
from exporter.frames import Json
from exporter.nvml import Device
from exporter.part import Part
from lightmeter.catalog import GpuState
from lightmeter.errors import DriverError


DRAIN_SECONDS = 0.5
READ_SECONDS = 1.0
MIG_SECONDS = 5.0
SAMPLE, FAULT, CENSUS = "sample", "fault", "census"
"""Kinds of frames: readings; what went wrong, the last frame; the GPUs that there are."""


@dataclass(frozen=True)
class Spec:
    """What a sampler is told: which GPU, and how. ``memo`` is by the parts' own UUIDs."""

    index: int
    uuid: str | None
    hz: float
    window: float
    memo: Mapping[str, Any]


class Sampler:
    """One GPU and its MIG instances."""

    def __init__(self, spec: Spec) -> None:
        self._driver = nvml.start()
        self._spec = spec
        self._device = Device.find(spec.index, spec.uuid)
        self._events = XidEvents(self._device)
        instances = self._device.instances()
        self._layout = _layout(instances)
        whole = self._part(self._device, split=instances is not None)
        self.parts = [whole, *(self._part(one) for one in instances or ())]

    def _part(self, device: Device, *, split: bool = False) -> Part:
        gpu = device.identity(self._spec.index, self._driver)
        memo = self._spec.memo.get(gpu.mig_uuid or gpu.uuid, {})
        return Part(device, gpu, self._spec.window, memo, split=split)

    def tick(self, elapsed: float) -> None:
        """Read what changes fastest."""
        for part in self.parts:
            part.tick(elapsed)

    def drain(self, at: float, elapsed: float) -> None:
        """Take what the driver has sampled and reported."""
        for part in self.parts:
            part.drain(at, elapsed)

    def read(self, at: float, elapsed: float) -> None:
        """Read everything else."""
        for part in self.parts:
            part.read(at, elapsed)
        if self._events.supported:
            self.parts[0].count(self._events.numbers())

    def check(self, _at: float, _elapsed: float) -> None:
        """See whether the GPU has been divided anew.

        Raises:
            DriverError: it has.
        """
        now = _layout(self._device.instances())
        if now != self._layout:
            raise DriverError(f"MIG went from {self._layout} to {now}", GpuState.MIG_CHANGED)

    def frame(self, at: float) -> Json:
        """Write down what is known."""
        return {
            "kind": SAMPLE,
            "pid": os.getpid(),
            "at": at,
            "snapshots": [frames.from_snapshot(part.snapshot(at)) for part in self.parts],
            "notes": self.parts[0].notes,
            "memo": {part.gpu.mig_uuid or part.gpu.uuid: part.memo() for part in self.parts},
        }


def _layout(instances: Sequence[Device] | None) -> str:
    return "off" if instances is None else f"instances {[one.instance for one in instances]}"


class Rhythm:
    """Calls something every so many seconds, and tells it how many have passed."""

    def __init__(self, period: float, call: Callable[[float, float], None], begin: float) -> None:
        self._period, self._call = period, call
        self._last, self._due = begin, begin

    def __call__(self, at: float) -> bool:
        """Call it where it is due; tell whether it was."""
        if at < self._due:
            return False
        self._call(at, at - self._last)
        self._last = at
        self._due = self._due + self._period if self._due + self._period > at else at + self._period
        return True


def run(spec: Spec, out: socket.socket) -> None:
    """Follow a GPU until it or the listener is gone."""
    sampler = Sampler(spec)
    at = last = time.monotonic()
    drain = Rhythm(DRAIN_SECONDS, sampler.drain, at)
    read = Rhythm(READ_SECONDS, sampler.read, at)
    check = Rhythm(MIG_SECONDS, sampler.check, at)
    while True:
        sampler.tick(at - last)
        drained = drain(at)
        read(at)
        check(at)
        if drained:
            send(out, sampler.frame(at))
        last = at
        time.sleep(max(0.0, at + 1 / spec.hz - time.monotonic()))
        at = time.monotonic()


def census(out: socket.socket) -> None:
    """Tell which GPUs there are, first how many: to name one may block where a GPU hangs.

    Raises:
        DriverError: there is no driver.
        OSError: nobody listens.
    """
    nvml.start()
    count = nvml.count()
    send(out, {"kind": CENSUS, "count": count, "uuids": None})
    uuids = [Device.find(index, None).identity(index, "").uuid for index in range(count)]
    send(out, {"kind": CENSUS, "count": count, "uuids": uuids})


def send(out: socket.socket, frame: Json) -> None:
    """Send a frame, whole or not at all: a listener that lags behind misses some, we never wait.

    Raises:
        OSError: nobody listens any more.
    """
    try:
        out.send(frames.dumps(frame), socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
    except BlockingIOError:
        return
