"""NVML's readings under DCGM's names and in DCGM's units.

The mapping is DCGM's own where it reads NVML too (dcgmlib/src/DcgmCacheManager.cpp and dcgm_fields.h
of https://github.com/NVIDIA/DCGM, read 2026-11).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lightmeter.catalog import Dcgm, Throttle


Gauges = dict[str, float]
FIELDS = {
    3: Dcgm.ECC_SBE_VOL,
    4: Dcgm.ECC_DBE_VOL,
    5: Dcgm.ECC_SBE_AGG,
    6: Dcgm.ECC_DBE_AGG,
    82: Dcgm.MEMORY_TEMP,
    83: Dcgm.ENERGY,
    94: Dcgm.PCIE_REPLAY,
    142: Dcgm.REMAPPED_CORRECTABLE,
    143: Dcgm.REMAPPED_UNCORRECTABLE,
    145: Dcgm.REMAP_FAILURE,
}
"""NVML's field values."""
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
PROFILE = {
    1: Dcgm.GR_ACTIVE,
    2: Dcgm.SM_ACTIVE,
    3: Dcgm.SM_OCCUPANCY,
    5: Dcgm.TENSOR_ACTIVE,
    10: Dcgm.DRAM_ACTIVE,
    11: Dcgm.FP64_ACTIVE,
    12: Dcgm.FP32_ACTIVE,
    13: Dcgm.FP16_ACTIVE,
}
"""NVML's profiling counters (GPM)."""
_MIB = 1 << 20


def of_device(readings: Mapping[str, Any], fields: Mapping[int, float]) -> Gauges:
    """Name what only a whole GPU has: `exporter.nvml.Device.readings`, and its field values."""
    found: dict[str, float | None] = {
        Dcgm.GPU_TEMP: readings["celsius"],
        Dcgm.POWER_USAGE: _scaled(readings["milliwatts"], 1e-3),
        Dcgm.SM_CLOCK: readings["sm_mhz"],
        Dcgm.MEM_CLOCK: readings["memory_mhz"],
        Dcgm.ENC_UTIL: _item(readings["encoder"], 0),
        Dcgm.DEC_UTIL: _item(readings["decoder"], 0),
        Dcgm.GPU_UTIL: _scaled(_item(readings["rates"], 0), 100),
        Dcgm.MEM_COPY_UTIL: _scaled(_item(readings["rates"], 1), 100),
        Dcgm.THROTTLE: readings["reasons"],
        Dcgm.ENERGY: readings["millijoules"],
    }
    found |= {name: fields[number] for number, name in FIELDS.items() if number in fields}
    return {name: value for name, value in found.items() if value is not None}


def of_memory(memory: Sequence[int | None] | None) -> Gauges:
    """Name the total, used, free and reserved bytes, as whole MiB like DCGM."""
    names = (Dcgm.FB_TOTAL, Dcgm.FB_USED, Dcgm.FB_FREE, Dcgm.FB_RESERVED)
    found = zip(names, memory or (), strict=False)
    return {name: size // _MIB for name, size in found if size is not None}


def of_profile(shares: Mapping[int, float]) -> Gauges:
    """Name the averages of the profiling counters, 0..1."""
    return {name: shares[number] for number, name in PROFILE.items() if number in shares}


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _item(values: Sequence[float] | None, index: int) -> float | None:
    return values[index] if values else None
