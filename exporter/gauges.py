"""NVML's readings under DCGM's names and in DCGM's units.

The mapping is DCGM's own where it reads NVML too (dcgmlib/src/DcgmCacheManager.cpp and dcgm_fields.h
of https://github.com/NVIDIA/DCGM, read 2026-11).
"""

from __future__ import annotations

from collections.abc import Mapping

from exporter.nvml import Device, Memory
from lightmeter.catalog import Dcgm


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
_SM, _MEMORY = 1, 2
_MIB = 1 << 20


def of_device(device: Device, fields: Mapping[int, float]) -> Gauges:
    """Read what only a whole GPU has; ``fields`` are its field values, read already."""
    nvml = device.nvml
    found: dict[str, float | None] = {
        Dcgm.GPU_TEMP: device.ask(nvml.nvmlDeviceGetTemperature, 0),
        Dcgm.POWER_USAGE: _scaled(device.ask(nvml.nvmlDeviceGetPowerUsage), 1e-3),
        Dcgm.SM_CLOCK: device.ask(nvml.nvmlDeviceGetClockInfo, _SM),
        Dcgm.MEM_CLOCK: device.ask(nvml.nvmlDeviceGetClockInfo, _MEMORY),
        Dcgm.ENC_UTIL: _first(device.ask(nvml.nvmlDeviceGetEncoderUtilization)),
        Dcgm.DEC_UTIL: _first(device.ask(nvml.nvmlDeviceGetDecoderUtilization)),
        Dcgm.THROTTLE: device.reasons(),
    }
    found |= {name: fields.get(number) for number, name in FIELDS.items()}
    if found[Dcgm.ENERGY] is None:
        found[Dcgm.ENERGY] = device.ask(nvml.nvmlDeviceGetTotalEnergyConsumption)
    rates = device.rates()
    if rates:
        found |= {Dcgm.GPU_UTIL: 100 * rates[0], Dcgm.MEM_COPY_UTIL: 100 * rates[1]}
    return {name: value for name, value in found.items() if value is not None}


def of_memory(memory: Memory | None) -> Gauges:
    """Tell the memory in MiB, whole ones as DCGM has them."""
    if memory is None:
        return {}
    found = {Dcgm.FB_TOTAL: memory.total, Dcgm.FB_USED: memory.used, Dcgm.FB_FREE: memory.free}
    if memory.reserved is not None:
        found[Dcgm.FB_RESERVED] = memory.reserved
    return {name: size // _MIB for name, size in found.items()}


def of_profile(shares: Mapping[int, float]) -> Gauges:
    """Name the averages of the profiling counters, 0..1."""
    return {PROFILE[number]: share for number, share in shares.items() if number in PROFILE}


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _first(values: list[int] | None) -> int | None:
    return values[0] if values else None
