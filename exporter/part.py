"""A GPU, or a MIG instance of it: what its samplers read goes in, running totals come out. Pure.

It outlives its samplers, so that totals go on where one of them has to be replaced.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from exporter import gauges
from exporter.integrate import SlidingMax
from exporter.snapshot import Gpu, Snapshot, Xid
from exporter.totals import Energy, Processes, Throttling, Work
from lightmeter.catalog import Dcgm


Raw = Mapping[str, Any]


class Part:
    """One part. ``window`` is the seconds over which a peak is remembered; ``since`` Unix seconds."""

    def __init__(self, gpu: Gpu, window: float, since: float) -> None:
        self.gpu = gpu
        self.split = False
        """Whether its memory and work are told by its MIG instances."""
        self._since = since
        self._peak = SlidingMax(window)
        self._memory: Sequence[int | None] | None = None
        self._gauges: dict[str, float] = {}
        self._work = Work()
        self._processes = Processes()
        self._energy = Energy()
        self._throttling = Throttling()
        self._xids: dict[int, tuple[int, float]] = {}

    @property
    def seen(self) -> tuple[float, float]:
        """The newest moments heard of, by the driver's clock: of the ring, and of processes."""
        return self._work.ring.seen, self._processes.meter.seen

    @property
    def notes(self) -> tuple[str, ...]:
        """What is not read but worked out."""
        return ("energy is integrated from power",) if self._energy.integrated else ()

    def take(self, raw: Raw, at: float, unix: float) -> None:
        """Take in what `exporter.reader.Reader` has read up to a moment, by both clocks."""
        self._memory = raw["memory"]
        if self._memory:
            self._peak.add(at, max(raw["high"], self._memory[1] or 0))
        self._work.take(raw["drains"], raw["polls"])
        for read in raw["reads"]:
            self._take_read(read, at, unix)

    def _take_read(self, read: Raw, at: float, unix: float) -> None:
        found: dict[str, float] = {}
        if "device" in read:
            fields = _by_number(read["fields"])
            found |= gauges.of_device(read["device"], fields)
            self._energy.take(at, found)
            self._throttling.take(read["elapsed"], fields, found.get(Dcgm.THROTTLE))
        if "xids" in read:
            for number in read["xids"]:
                self._xids[number] = (self._xids.get(number, (0, 0.0))[0] + 1, unix)
            found[Dcgm.XID] = max(self._xids, key=lambda number: self._xids[number][1], default=0)
        if "used" in read:
            used = read["used"]
            self._processes.take(used and _by_number(used), read["shares"], read["asked"])
        if read.get("profile"):
            elapsed, shares = read["profile"]
            self._work.profile(elapsed, _by_number(shares))
            found |= gauges.of_profile(_by_number(shares))
        self._gauges = found

    def snapshot(self, at: float, unix: float) -> Snapshot:
        """Tell all that is known at a moment, by both clocks."""
        peak, memory, work = self._peak.value(at), self._memory or (None, None), self._work
        works = work.known and not self.split
        return Snapshot(
            gpu=self.gpu,
            at=unix,
            since=self._since,
            gauges=self._gauges | gauges.of_memory(self._memory),
            memory_used_bytes=memory[1],
            memory_total_bytes=memory[0],
            memory_peak_bytes=None if peak is None or self.split else int(peak),
            busy_seconds=work.ring.active if works else None,
            sampled_seconds=work.ring.covered if works else None,
            sm_active_seconds=None if self.split else work.sm_active,
            energy_joules=self._energy.joules,
            throttle_seconds=self._throttling.seconds,
            xids=tuple(Xid(number=n, count=c, last_at=last) for n, (c, last) in self._xids.items()),
            processes=None if self.split else self._processes.now,
        )


def _by_number(found: Mapping[str, Any]) -> dict[int, Any]:
    """Undo what JSON does to keys that are numbers."""
    return {int(key): value for key, value in found.items()}
