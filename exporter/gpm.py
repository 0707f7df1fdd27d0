"""The profiling counters of newer GPUs."""

from __future__ import annotations

import math
import time
from typing import Any

from exporter.nvml import Device, must


_GPM = (1, 2, 3, 5, 10, 11, 12, 13)
"""Graphics engine, multiprocessors, their occupancy, tensor cores, DRAM, FP64, FP32, FP16."""


class Profile:
    """The profiling counters (GPM) of a device: averages between two looks, 0..1 by GPM's numbers.

    Hopper and later have them, https://docs.nvidia.com/deploy/nvml-api/group__nvmlGpmEnums.html.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._kept: Any = None
        self._spare: Any = None
        self._at = 0.0
        self._asked = self._question()

    def _question(self) -> Any:
        """Make what is asked: 22 KiB, kept as they take longer to fill than the answer."""
        nvml = self._device.nvml
        get = nvml.c_nvmlGpmMetricsGet_t()
        get.version, get.numMetrics = nvml.NVML_GPM_METRICS_GET_VERSION, len(_GPM)
        for slot, number in enumerate(_GPM):
            get.metrics[slot].metricId = number
        return get

    def read(self) -> tuple[float, dict[int, float]] | None:
        """Tell the seconds since the last look, and the averages; None where there are none."""
        device, nvml = self._device, self._device.nvml
        whole = device.parent or device
        if self._spare is None:
            support = whole.ask(nvml.nvmlGpmQueryDeviceSupport)
            if support is None or not support.isSupportedDevice:
                return None
            self._spare = must(nvml.nvmlGpmSampleAlloc)
        call = nvml.nvmlGpmMigSampleGet if device.parent else nvml.nvmlGpmSampleGet
        where = (device.instance,) if device.parent else ()
        now = time.monotonic()
        if whole.ask(call, *where, self._spare) is None:
            return None
        before, self._kept, self._spare = self._kept, self._spare, self._kept
        elapsed, self._at = now - self._at, now
        return None if before is None else (elapsed, self._between(before))

    def _between(self, before: Any) -> dict[int, float]:
        nvml, get = self._device.nvml, self._asked
        get.sample1, get.sample2 = before, self._kept
        try:
            nvml.nvmlGpmMetricsGet(get)
        except nvml.NVMLError:
            return {}
        found = zip(_GPM, get.metrics, strict=False)
        return {
            number: value / 100
            for number, one in found
            if not one.nvmlReturn and math.isfinite(value := one.value)
        }
