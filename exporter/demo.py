"""Made-up GPUs, for a machine that has none: plainly labelled, and pure functions of the clock.

They work in bursts that no scrape can see, and their memory has spikes of an eighth of a second, so
that what the counters and the peak are for can be seen on a laptop.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from exporter.snapshot import Fleet, Gpu, Health, Snapshot
from lightmeter.catalog import Dcgm, GpuState, Throttle


_log = logging.getLogger(__name__)
_MIB = 1 << 20
_TOTAL_MIB, _RESERVED_MIB, _BASE_MIB, _SPIKE_MIB = 81_559, 551, 24_000, 45_000
_IDLE_WATTS, _BUSY_WATTS = 90.0, 640.0
_SM_SHARE, _TENSOR_SHARE, _DRAM_SHARE = 0.82, 0.55, 0.38


@dataclass(frozen=True)
class Wave:
    """Something that is on for ``length`` seconds of every ``period``."""

    period: float
    length: float

    def seconds(self, end: float) -> float:
        """Tell the seconds on from 0 to ``end``."""
        cycles, into = divmod(end, self.period)
        return cycles * self.length + min(into, self.length)

    def share(self, begin: float, end: float) -> float:
        """Tell the share of a time that it was on."""
        return (self.seconds(end) - self.seconds(begin)) / (end - begin)


def fleet(gpus: int, begun: float, at: float, window: float) -> Fleet:
    """Make up what is known at a moment of GPUs that began to be watched at another; Unix seconds."""
    return Fleet(
        snapshots=tuple(_snapshot(index, begun, at, window) for index in range(gpus)),
        health=tuple(
            Health(index=i, uuid=_gpu(i).uuid, up=True, reason=GpuState.OK, age_seconds=0.0)
            for i in range(gpus)
        ),
        expected=gpus,
        source="demo",
        peak_window_seconds=window,
    )


def _gpu(index: int) -> Gpu:
    return Gpu(
        index=index,
        uuid=f"GPU-demo-{index}",
        name="lightmeter demo GPU",
        pci_bus_id=f"00000000:{index + 1:02X}:00.0",
        driver="demo",
    )


def _snapshot(index: int, begun: float, at: float, window: float) -> Snapshot:
    lasted = at - begun + 1.0  # there is always something behind it
    work, spikes = Wave(4.0 + index, 1.0 + 0.3 * index), Wave(11.0 + index, 0.12)
    busy = work.seconds(lasted)
    now = work.share(lasted - 1 / 6, lasted)
    used = _BASE_MIB + round(_SPIKE_MIB * spikes.share(lasted - 1e-3, lasted))
    spiked = spikes.seconds(lasted) > spikes.seconds(max(0.0, lasted - window))
    joules = _IDLE_WATTS * lasted + (_BUSY_WATTS - _IDLE_WATTS) * busy
    return Snapshot(
        gpu=_gpu(index),
        at=at,
        since=begun,
        gauges={
            Dcgm.GPU_UTIL: round(100 * now),
            Dcgm.MEM_COPY_UTIL: round(100 * now * _DRAM_SHARE),
            Dcgm.FB_TOTAL: _TOTAL_MIB,
            Dcgm.FB_RESERVED: _RESERVED_MIB,
            Dcgm.FB_USED: used,
            Dcgm.FB_FREE: _TOTAL_MIB - _RESERVED_MIB - used,
            Dcgm.GPU_TEMP: 38 + index + round(25 * now),
            Dcgm.POWER_USAGE: _IDLE_WATTS + (_BUSY_WATTS - _IDLE_WATTS) * now,
            Dcgm.ENERGY: joules * 1e3,
            Dcgm.SM_CLOCK: 1980,
            Dcgm.MEM_CLOCK: 2619,
            Dcgm.XID: 0,
            Dcgm.GR_ACTIVE: now,
            Dcgm.SM_ACTIVE: now * _SM_SHARE,
            Dcgm.TENSOR_ACTIVE: now * _TENSOR_SHARE,
            Dcgm.DRAM_ACTIVE: now * _DRAM_SHARE,
        },
        memory_used_bytes=used * _MIB,
        memory_total_bytes=_TOTAL_MIB * _MIB,
        memory_peak_bytes=(_BASE_MIB + _SPIKE_MIB * spiked) * _MIB,
        busy_seconds=busy,
        sampled_seconds=lasted,
        sm_active_seconds=busy * _SM_SHARE,
        energy_joules=joules,
        throttle_seconds={Throttle.POWER: Wave(30.0, 2.0).seconds(lasted), Throttle.THERMAL: 0.0},
    )


class Demo:
    """The source of made-up readings."""

    def __init__(self, gpus: int = 8, window: float = 60.0) -> None:
        self._gpus, self._window, self._begun = gpus, window, time.time()
        _log.warning("the %d GPUs are made up: this is a demo, nothing is read from a device", gpus)

    def fleet(self) -> Fleet:
        """Make up what is known now."""
        return fleet(self._gpus, self._begun, time.time(), self._window)

    def close(self) -> None:
        """Do nothing: there is nothing behind it."""
