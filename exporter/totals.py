"""Running totals of one part, each kept up from what the driver offers: pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from exporter.gauges import THROTTLE_BITS, THROTTLE_FIELDS
from exporter.integrate import Integral, Native, ProcessMeter, RingMeter
from exporter.snapshot import Process
from lightmeter.catalog import Dcgm


GPM_GAP = 10.0
"""Seconds between two looks at the profiling counters beyond which their average is not counted."""
POLL_GAP = 5.0
"""Seconds between two polls of a state beyond which it is not taken to have lasted."""
_GRAPHICS, _SM = 1, 2


class Work:
    """Busy and SM-active time. ``known`` says whether the device tells of busy time at all."""

    def __init__(self) -> None:
        self.ring = RingMeter()
        self.sm_active: float | None = None
        self.known = False
        self._sampled = False

    def take(self, drains: Sequence[Sequence[Any]], polls: Sequence[float]) -> None:
        """Take in what was drained, and (seconds, busy seconds) that were polled for want of a ring."""
        rings = [drain for drain in drains if drain[1] is not None]
        for elapsed, samples, polled in rings:
            self.ring.add([(at, share) for at, share in samples], polled, elapsed)
        if polls[0]:
            self.ring.add((), polls[1] / polls[0], polls[0], ring=False)
        self._sampled = bool(rings or polls[0])
        self.known = self.known or self._sampled

    def profile(self, elapsed: float, shares: Mapping[int, float]) -> None:
        """Take in averages of the profiling counters, 0..1 by GPM's numbers.

        Busy time is taken from them where there is nothing else, as in a MIG instance.
        """
        if elapsed > GPM_GAP:
            return
        if _SM in shares:
            self.sm_active = (self.sm_active or 0.0) + shares[_SM] * elapsed
        if _GRAPHICS in shares and not self._sampled:
            self.known = True
            self.ring.add((), shares[_GRAPHICS], elapsed, ring=False)


class Processes:
    """Memory and busy time of each process; ``now`` is None where the device does not list them."""

    def __init__(self) -> None:
        self.meter = ProcessMeter()
        self.now: tuple[Process, ...] | None = None

    def take(
        self,
        used: Mapping[int, int | None] | None,
        shares: Sequence[Sequence[Any]] | None,
        asked: float,
    ) -> None:
        """Take in the bytes of each, and the shares of those that worked."""
        if used is None:
            self.now = None
            return
        self.meter.add(((pid, at, share) for pid, at, share in shares or ()), asked)
        self.meter.keep(used)
        busy = {} if shares is None else self.meter.busy
        self.now = tuple(
            Process(pid=pid, used_bytes=size, busy_seconds=busy.get(pid))
            for pid, size in used.items()
        )


class Energy:
    """Energy from the device's counter, or where it has none from its power."""

    def __init__(self) -> None:
        self._counter = Native()
        self._power = Integral(POLL_GAP)
        self.joules: float | None = None
        self.integrated = False

    def take(self, at: float, gauges: Mapping[str, float]) -> None:
        """Take in the readings of a moment."""
        if Dcgm.ENERGY in gauges:
            self.joules = self._counter.add(gauges[Dcgm.ENERGY]) * 1e-3
        elif Dcgm.POWER_USAGE in gauges:
            self.integrated = True
            self._power.add(at, gauges[Dcgm.POWER_USAGE])
            self.joules = self._power.total


class Throttling:
    """Time with the clocks held down: from counters, or else from the state at each look."""

    def __init__(self) -> None:
        self._counters = {reason: Native() for reason in THROTTLE_FIELDS.values()}
        self._polled: dict[str, float] = {}
        self.seconds: dict[str, float] = {}

    def take(self, elapsed: float, fields: Mapping[int, float], reasons: float | None) -> None:
        """Take in field values, and the bit mask of what holds the clocks down now."""
        counted: dict[str, float] = {
            reason: self._counters[reason].add(fields[number]) * 1e-9
            for number, reason in THROTTLE_FIELDS.items()
            if number in fields
        }
        if not counted and reasons is not None:
            for reason, bits in THROTTLE_BITS.items():
                lasted = elapsed if int(reasons) & bits and elapsed <= POLL_GAP else 0.0
                self._polled[reason] = self._polled.get(reason, 0.0) + lasted
        self.seconds = counted or dict(self._polled)
