"""Running totals of one part: how each is kept up from what the driver offers.

Each has ``memo``: plain values from which the totals go on in another process.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from exporter.gpm import Profile
from exporter.integrate import Integral, Native, ProcessMeter, RingMeter
from exporter.nvml import Device
from exporter.snapshot import Process
from lightmeter.catalog import Dcgm, Throttle


Memo = dict[str, Any]
GPM_GAP = 10.0
"""Seconds between two looks at the profiling counters beyond which their average is not counted."""
POLL_GAP = 5.0
"""Seconds between two polls of a state beyond which it is not taken to have lasted."""
THROTTLE_FIELDS = {
    74: Throttle.POWER,
    75: Throttle.THERMAL,
    76: Throttle.SYNC_BOOST,
    77: Throttle.BOARD_LIMIT,
    78: Throttle.LOW_UTIL,
    79: Throttle.RELIABILITY,
}
"""Field values that count nanoseconds with the clocks held down."""
THROTTLE_BITS = {
    Throttle.POWER: 0x4 | 0x80,  # software power cap, power brake
    Throttle.THERMAL: 0x20 | 0x40,  # software and hardware thermal slowdown
    Throttle.SYNC_BOOST: 0x10,
}
"""Bits of the event reasons, where there are no such counters."""
_GRAPHICS, _SM = 1, 2


class Work:
    """Busy and SM-active time. ``known`` says whether the device tells of busy time at all."""

    def __init__(self, device: Device, memo: Memo) -> None:
        self._device = device
        self._profile = Profile(device)
        self.ring = RingMeter(*memo.get("ring", ()))
        self.sm_active: float | None = memo.get("sm_active")
        self.known = "ring" in memo
        self._has_ring = True
        self._has_rates = False

    def tick(self, elapsed: float) -> None:
        """Poll the device that has no ring."""
        if not self._has_ring:
            rates = self._device.rates()
            self._has_rates = rates is not None
            if rates:
                self.known = True
                self.ring.add((), rates[0], elapsed, ring=False)

    def drain(self, elapsed: float) -> None:
        """Take the ring's new samples, or the polled value where it has none."""
        samples = self._device.samples(self.ring.ask)
        self._has_ring = samples is not None
        if samples is not None:
            self.known = True
            new = any(at > self.ring.seen for at, _ in samples)
            polled = None if new else self._device.rates()
            self.ring.add(samples, polled and polled[0], elapsed)

    def profile(self) -> dict[int, float]:
        """Take the averages of the profiling counters since the last look, 0..1 by GPM's numbers.

        Busy time is taken from them where there is nothing else, as in a MIG instance.
        """
        found = self._profile.read()
        if found is None:
            return {}
        elapsed, shares = found
        if elapsed <= GPM_GAP:
            if _SM in shares:
                self.sm_active = (self.sm_active or 0.0) + shares[_SM] * elapsed
            if _GRAPHICS in shares and not (self._has_ring or self._has_rates):
                self.known = True
                self.ring.add((), shares[_GRAPHICS], elapsed, ring=False)
        return shares

    def memo(self) -> Memo:
        """Write down the totals."""
        ring = {"ring": [self.ring.active, self.ring.covered, self.ring.seen]} if self.known else {}
        return ring | {"sm_active": self.sm_active}


class Processes:
    """Memory and busy time of each process; ``now`` is None where the device does not list them."""

    def __init__(self, device: Device, memo: Memo) -> None:
        self._device = device
        known = {int(pid): seconds for pid, seconds in memo.get("processes", {}).items()}
        self._meter = ProcessMeter(known, memo.get("processes_seen", time.time()))
        self.now: tuple[Process, ...] | None = None

    def read(self, elapsed: float) -> None:
        """List them and take their shares."""
        used = self._device.processes()
        if used is None:
            self.now = None
            return
        shares = self._device.shares(self._meter.ask)
        self._meter.add(shares or (), elapsed)
        self._meter.keep(used)
        busy = {} if shares is None else self._meter.busy
        self.now = tuple(
            Process(pid=pid, used_bytes=size, busy_seconds=busy.get(pid))
            for pid, size in used.items()
        )

    def memo(self) -> Memo:
        """Write down the totals."""
        return {"processes": self._meter.busy, "processes_seen": self._meter.seen}


class Energy:
    """Energy from the device's counter, or where it has none from its power."""

    def __init__(self, memo: Memo) -> None:
        self._counter = Native(*memo.get("energy_counter", ()))
        self._power = Integral(memo.get("energy_integral", 0.0), POLL_GAP)
        self.joules: float | None = None
        self.integrated = False

    def read(self, at: float, gauges: Mapping[str, float]) -> None:
        """Take in the readings of a moment."""
        if Dcgm.ENERGY in gauges:
            self.joules = self._counter.add(gauges[Dcgm.ENERGY]) * 1e-3
        elif Dcgm.POWER_USAGE in gauges:
            self.integrated = True
            self._power.add(at, gauges[Dcgm.POWER_USAGE])
            self.joules = self._power.total

    def memo(self) -> Memo:
        """Write down the totals."""
        counter = self._counter
        return {
            "energy_counter": [counter.base, counter.last],
            "energy_integral": self._power.total,
        }


class Throttling:
    """Time with the clocks held down: from counters, or else from the state at each look."""

    def __init__(self, memo: Memo) -> None:
        self._counters = {
            reason: Native(*memo.get("throttle_counters", {}).get(reason, ()))
            for reason in THROTTLE_FIELDS.values()
        }
        self._polled: dict[str, float] = dict(memo.get("throttle_polled", {}))
        self.seconds: dict[str, float] = {}

    def read(self, elapsed: float, fields: Mapping[int, float], reasons: float | None) -> None:
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

    def memo(self) -> Memo:
        """Write down the totals."""
        counters = {reason: [one.base, one.last] for reason, one in self._counters.items()}
        return {"throttle_counters": counters, "throttle_polled": self._polled}
