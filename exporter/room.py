"""Calls of the driver's library whose room is kept; pynvml makes it anew each time, asks twice and copies.

That took twice as long as to ask (measured 2026-11). ``nvml`` is pynvml, which `exporter.nvml` imports;
what fails raises its NVMLError.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any


_TRIES = 4
"""To read a list that may grow meanwhile."""


class Fields:
    """Field values of a device by their numbers."""

    def __init__(self, nvml: Any, ids: Sequence[int]) -> None:
        self._nvml = nvml
        self._room = (nvml.c_nvmlFieldValue_t * len(ids))()
        for one, number in zip(self._room, ids, strict=True):
            one.fieldId = number

    def __call__(self, handle: Any) -> Any:
        """Return what the driver said of each, in order, until the next call."""
        call: Any = getattr(self._nvml.nvmlLib, "nvmlDeviceGetFieldValues", None)
        missing = self._nvml.NVML_ERROR_FUNCTION_NOT_FOUND
        error = call(handle, len(self._room), self._room) if call else missing
        if error:
            raise self._nvml.NVMLError(error)
        return self._room


class Processes:
    """One of the driver's lists of processes: ``Compute``, ``Graphics`` or ``MPSCompute``."""

    def __init__(self, nvml: Any, kind: str) -> None:
        self._nvml = nvml
        self._name = f"nvmlDeviceGet{kind}RunningProcesses_v3"
        self._room: Any = ()
        self._count = ctypes.c_uint()

    def __call__(self, handle: Any) -> list[tuple[int, int | None]]:
        """Tell the bytes of each process on a device: (pid, size), None where the driver does not know."""
        nvml, count = self._nvml, self._count
        call: Any = getattr(nvml.nvmlLib, self._name, None)
        error = nvml.NVML_ERROR_INSUFFICIENT_SIZE if call else nvml.NVML_ERROR_FUNCTION_NOT_FOUND
        for _ in range(_TRIES):
            if error != nvml.NVML_ERROR_INSUFFICIENT_SIZE:
                break
            if not self._room or count.value >= len(self._room):
                self._room = (nvml.c_nvmlProcessInfo_v3_t * (2 * count.value + 5))()
            count.value = len(self._room)
            error = call(handle, ctypes.byref(count), self._room)
        if error:
            raise nvml.NVMLError(error)
        unknown = nvml.NVML_VALUE_NOT_AVAILABLE_ulonglong.value
        found = [(one.pid, one.usedGpuMemory) for one in self._room[: count.value]]
        return [(pid, None if size == unknown else size) for pid, size in found]
