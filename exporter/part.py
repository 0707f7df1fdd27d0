"""A GPU, or a MIG instance of it, as its sampler follows it: readings in, running totals out."""

from __future__ import annotations

import time
from collections.abc import Iterable

from exporter import gauges
from exporter.integrate import SlidingMax
from exporter.nvml import Device, Memory
from exporter.snapshot import Gpu, Snapshot, Xid
from exporter.totals import THROTTLE_FIELDS, Energy, Memo, Processes, Throttling, Work
from lightmeter.catalog import Dcgm


class Part:
    """One part. `tick` is called often, `drain` twice a second, `read` once a second.

    ``split`` is a GPU whose memory and work its MIG instances tell; ``window`` is the seconds over
    which a peak is remembered; ``memo`` is that of the sampler before, or empty.
    """

    def __init__(
        self, device: Device, gpu: Gpu, window: float, memo: Memo, *, split: bool = False
    ) -> None:
        self.gpu = gpu
        self._device = device
        self._whole = device.parent is None
        self._split = split
        self._since = float(memo.get("since", time.time()))
        self._peak = SlidingMax(window)
        self._high = 0
        self._memory: Memory | None = None
        self._gauges: dict[str, float] = {}
        self._work = Work(device, memo)
        self._processes = Processes(device, memo)
        self._energy = Energy(memo)
        self._throttling = Throttling(memo)
        self._xids = {number: (count, last) for number, count, last in memo.get("xids", ())}

    @property
    def notes(self) -> list[str]:
        """Say what is not read but worked out."""
        return ["energy is integrated from power"] if self._energy.integrated else []

    def tick(self, elapsed: float) -> None:
        """Read what changes fastest."""
        if self._split:
            return
        used = self._device.used()
        if used is not None and used > self._high:
            self._high = used
        self._work.tick(elapsed)

    def drain(self, at: float, elapsed: float) -> None:
        """Take what the driver has sampled."""
        if self._split:
            return
        self._memory = self._device.memory()
        if self._memory:
            self._peak.add(at, max(self._high, self._memory.used))
            self._high = 0
        self._work.drain(elapsed)

    def read(self, at: float, elapsed: float) -> None:
        """Read everything else."""
        found: dict[str, float] = {}
        if self._whole:
            fields = self._device.fields(*gauges.FIELDS, *THROTTLE_FIELDS)
            found |= gauges.of_device(self._device, fields)
            self._energy.read(at, found)
            self._throttling.read(elapsed, fields, found.get(Dcgm.THROTTLE))
        if not self._split:
            self._processes.read(elapsed)
            found |= gauges.of_profile(self._work.profile())
        self._gauges = found

    def count(self, numbers: Iterable[int]) -> None:
        """Count XID errors that have come."""
        for number in numbers:
            self._xids[number] = (self._xids.get(number, (0, 0.0))[0] + 1, time.time())
        last = max(self._xids, key=lambda number: self._xids[number][1], default=0)
        self._gauges[Dcgm.XID] = last

    def snapshot(self, at: float) -> Snapshot:
        """Tell all that is known at a moment of the monotonic clock."""
        peak = self._peak.value(at)
        work, memory = self._work, self._memory
        works = work.known and not self._split
        return Snapshot(
            gpu=self.gpu,
            at=time.time(),
            since=self._since,
            gauges=self._gauges | gauges.of_memory(memory),
            memory_used_bytes=memory and memory.used,
            memory_total_bytes=memory and memory.total,
            memory_peak_bytes=None if peak is None else int(peak),
            busy_seconds=work.ring.active if works else None,
            sampled_seconds=work.ring.covered if works else None,
            sm_active_seconds=None if self._split else work.sm_active,
            energy_joules=self._energy.joules,
            throttle_seconds=self._throttling.seconds,
            xids=tuple(Xid(number=n, count=c, last_at=at) for n, (c, at) in self._xids.items()),
            processes=self._processes.now,
        )

    def memo(self) -> Memo:
        """Write down what the next sampler goes on from: plain values."""
        return {
            "since": self._since,
            "xids": [[number, *rest] for number, rest in self._xids.items()],
            **self._work.memo(),
            **self._processes.memo(),
            **self._energy.memo(),
            **self._throttling.memo(),
        }
