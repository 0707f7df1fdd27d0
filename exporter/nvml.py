"""The NVIDIA driver: the only file that imports pynvml, and only where it is first needed.

https://docs.nvidia.com/deploy/nvml-api/ names the functions. What a device cannot tell is None.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from exporter.room import Fields, Processes
from exporter.snapshot import Gpu
from lightmeter.catalog import GpuState
from lightmeter.errors import DriverError


AGAIN_SECONDS = 600.0
"""After which a function that is not supported is tried again."""
_NOTHING = (0, 6)
"""Error codes of an answer without content: success (pynvml raises it for an empty list), not found."""
_UNABLE = (2, 3, 13, 25, 26)
"""Error codes of a function that will not do better next time: invalid argument, not supported,
function not found, version mismatch, deprecated."""
_NEVER = (*_UNABLE, 4)
"""These, and no permission."""
_FATAL = {
    1: GpuState.DRIVER_MISSING,  # uninitialized
    9: GpuState.DRIVER_MISSING,  # driver not loaded
    12: GpuState.DRIVER_MISSING,  # library not found
    15: GpuState.LOST,
    16: GpuState.LOST,  # reset required
    17: GpuState.NO_PERMISSION,  # blocked by the operating system or a cgroup
    18: GpuState.DRIVER_MISSING,  # library and driver differ in version
}
_VALUE = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")
"""Member of a value's union by its type."""


@functools.cache
def library() -> Any:
    """Import pynvml."""
    return importlib.import_module("pynvml")


@dataclass(frozen=True)
class Seen:
    """What the driver shows; ``reason`` says in words why it shows nothing."""

    driver: str = ""
    names: tuple[str, ...] = ()
    reason: str = ""


def look() -> Seen:
    """Ask the driver for its version and the names of its GPUs."""
    nvml = library()
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        return Seen(reason=f"not usable ({error})")
    try:
        handles = map(nvml.nvmlDeviceGetHandleByIndex, range(nvml.nvmlDeviceGetCount()))
        return Seen(nvml.nvmlSystemGetDriverVersion(), tuple(map(nvml.nvmlDeviceGetName, handles)))
    except nvml.NVMLError as error:
        return Seen(reason=f"answers, but not for every GPU ({error})")
    finally:
        nvml.nvmlShutdown()


def refusal(error: Any) -> DriverError:
    """Say in our words why the driver refuses what is needed."""
    states = {**_FATAL, 4: GpuState.NO_PERMISSION, 6: GpuState.LOST}
    return DriverError(str(error), states.get(error.value, GpuState.ERROR))


def must(call: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function whose answer is needed.

    Raises:
        DriverError: there is none.
    """
    try:
        return call(*arguments)
    except library().NVMLError as error:
        raise refusal(error) from error


def start() -> str:
    """Begin a session; return the driver's version.

    Raises:
        DriverError: there is no driver, or it refuses.
    """
    nvml = library()
    try:
        must(nvml.nvmlInitWithFlags, nvml.NVML_INIT_FLAG_NO_GPUS)
    except DriverError as error:
        raise DriverError(f"no NVIDIA driver ({error})", _initial(error.state)) from error
    return str(must(nvml.nvmlSystemGetDriverVersion))


def _initial(state: str) -> str:
    return state if state == GpuState.NO_PERMISSION else GpuState.DRIVER_MISSING


def count() -> int:
    """Count the GPUs that the session found when it began.

    Raises:
        DriverError: the driver does not answer.
    """
    return int(must(library().nvmlDeviceGetCount))


class Memory(NamedTuple):
    """Device memory in bytes; ``reserved`` is None where the driver counts it as used."""

    total: int
    used: int
    free: int
    reserved: int | None


class Device:
    """A GPU, or with ``instance`` a MIG instance of ``parent``; it remembers what it cannot tell."""

    def __init__(self, handle: Any, parent: Device | None = None, instance: int = -1) -> None:
        self.handle, self.parent, self.instance = handle, parent, instance
        self.nvml = library()
        self._not_before: dict[Any, float] = {}
        self._v2 = self.nvml.c_nvmlMemory_v2_t(version=self.nvml.nvmlMemory_v2)
        self._v2_pointer = ctypes.pointer(self._v2)
        self._read_v2 = getattr(self.nvml.nvmlLib, "nvmlDeviceGetMemoryInfo_v2", None)
        self._asked: dict[tuple[int, ...], Fields] = {}
        self._lists = [Processes(self.nvml, kind) for kind in ("Compute", "Graphics", "MPSCompute")]

    @classmethod
    def find(cls, index: int, uuid: str | None) -> Device:
        """Find a GPU by its UUID, or where that is not known yet by its index.

        Raises:
            DriverError: it is not there, or does not answer.
        """
        nvml = library()
        if uuid is None:
            return cls(must(nvml.nvmlDeviceGetHandleByIndex, index))
        return cls(must(nvml.nvmlDeviceGetHandleByUUID, uuid))

    def ask(
        self, call: Callable[..., Any], *arguments: Any, none: Any = None, strict: bool = False
    ) -> Any:
        """Call a function for this device; None where it cannot tell, ``none`` where nothing is found.

        Raises:
            DriverError: the device is gone; where ``strict``, or it fails for no known reason.
        """
        key = (call, len(arguments))
        if self._not_before.get(key, 0.0) > time.monotonic():
            return None
        try:
            return call(self.handle, *arguments)
        except self.nvml.NVMLError as error:
            if error.value in _FATAL or (strict and error.value not in _UNABLE):
                raise refusal(error) from error
            if error.value in _NEVER:
                self._not_before[key] = time.monotonic() + AGAIN_SECONDS
            return none if error.value in _NOTHING else None

    def identity(self, index: int, driver: str) -> Gpu:
        """Tell which GPU it is.

        Raises:
            DriverError: it does not say.
        """
        nvml, whole = self.nvml, self.parent or self
        name = str(must(nvml.nvmlDeviceGetName, self.handle))
        name, _, profile = name.partition(" MIG ")
        return Gpu(
            index=index,
            uuid=str(must(nvml.nvmlDeviceGetUUID, whole.handle)),
            name=name,
            pci_bus_id=str(must(nvml.nvmlDeviceGetPciInfo, whole.handle).busId),
            driver=driver,
            profile=profile or None,
            instance=self.instance if self.parent else None,
            mig_uuid=str(must(nvml.nvmlDeviceGetUUID, self.handle)) if self.parent else None,
        )

    def memory(self) -> Memory | None:
        """Read the memory; None on devices that share the host's.

        Raises:
            DriverError: the device does not answer; it is what is asked most often.
        """
        read, version = self.nvml.nvmlDeviceGetMemoryInfo, self.nvml.nvmlMemory_v2
        found = self.ask(read, version, strict=True)
        if found is not None:
            return Memory(found.total, found.used, found.free, found.reserved)
        found = self.ask(read, strict=True)
        return None if found is None else Memory(found.total, found.used, found.free, None)

    def used(self) -> int | None:
        """Read the memory in use, bytes; quicker than `memory`, for many times a second.

        Raises:
            DriverError: the device does not answer.
        """
        if self._read_v2 is None or self._read_v2(self.handle, self._v2_pointer):
            memory = self.memory()
            return None if memory is None else memory.used
        return int(self._v2.used)

    def rates(self) -> tuple[float, float] | None:
        """Tell the share of the last sample period with a kernel running, and with memory active."""
        found = self.ask(self.nvml.nvmlDeviceGetUtilizationRates)
        return None if found is None else (found.gpu / 100, found.memory / 100)

    def samples(self, since: float) -> list[tuple[float, float]] | None:
        """Read the utilisation ring: (driver's clock in seconds, share); None where there is no ring."""
        found = self.ask(self.nvml.nvmlDeviceGetSamples, 1, int(since * 1e6), none=(0, ()))
        if found is None:
            return None
        member = _VALUE[found[0]]
        return [(one.timeStamp / 1e6, getattr(one.sampleValue, member) / 100) for one in found[1]]

    def fields(self, *ids: int) -> dict[int, float]:
        """Read field values; those that the device does not have are missing."""
        if ids not in self._asked:
            self._asked[ids] = Fields(self.nvml, ids)
        found = self.ask(self._asked[ids])
        return {
            number: getattr(one.value, _VALUE[kind])
            for number, one in zip(ids, found or (), strict=False)
            if not one.nvmlReturn and (kind := one.valueType) < len(_VALUE)
        }

    def processes(self) -> dict[int, int | None] | None:
        """Tell the memory of each process on the device, bytes by pid; None where it does not say."""
        lists = [self.ask(one) for one in self._lists]
        used: dict[int, int | None] = {}
        for pid, size in (one for found in lists for one in found or ()):
            before = used.get(pid)
            used[pid] = size if before is None else max(before, size or 0)
        return used if any(found is not None for found in lists) else None

    def shares(self, since: float) -> list[tuple[int, float, float]] | None:
        """Read processes' shares: (pid, driver's clock in seconds, share of its multiprocessor time)."""
        ask = self.nvml.nvmlDeviceGetProcessUtilization
        found = self.ask(ask, int(since * 1e6), none=())
        if found is None:
            return None
        return [(one.pid, one.timeStamp / 1e6, min(one.smUtil, 100) / 100) for one in found if one.timeStamp]  # fmt: skip

    def readings(self) -> dict[str, Any]:
        """Read what only a whole GPU has, in NVML's units; None where it cannot tell."""
        nvml, ask = self.nvml, self.ask
        reasons = ask(nvml.nvmlDeviceGetCurrentClocksEventReasons)
        if reasons is None:  # older drivers have an older name for it
            reasons = ask(nvml.nvmlDeviceGetCurrentClocksThrottleReasons)
        return {
            "celsius": ask(nvml.nvmlDeviceGetTemperature, 0),
            "milliwatts": ask(nvml.nvmlDeviceGetPowerUsage),
            "millijoules": ask(nvml.nvmlDeviceGetTotalEnergyConsumption),
            "sm_mhz": ask(nvml.nvmlDeviceGetClockInfo, 1),
            "memory_mhz": ask(nvml.nvmlDeviceGetClockInfo, 2),
            "encoder": ask(nvml.nvmlDeviceGetEncoderUtilization),
            "decoder": ask(nvml.nvmlDeviceGetDecoderUtilization),
            "rates": self.rates(),
            "reasons": reasons,
        }

    def instances(self) -> list[Device] | None:
        """Find the MIG instances; None where MIG is off or unknown."""
        nvml = self.nvml
        mode = self.ask(nvml.nvmlDeviceGetMigMode)
        if not mode or not mode[0]:
            return None
        found: dict[int, Device] = {}
        for index in range(self.ask(nvml.nvmlDeviceGetMaxMigDeviceCount) or 0):
            handle = self.ask(nvml.nvmlDeviceGetMigDeviceHandleByIndex, index)
            number = handle and Device(handle).ask(nvml.nvmlDeviceGetGpuInstanceId)
            if number is not None:
                found.setdefault(number, Device(handle, self, number))
        return list(found.values())
