"""What the driver reports as it happens: XID errors."""

from __future__ import annotations

from exporter.nvml import Device, must


_XID = 8
_AT_ONCE = 64


class XidEvents:
    """The XID errors of one GPU as they come; ``supported`` says whether it reports any.

    The driver keeps those that nobody has waited for, so that a look now and then misses none.
    """

    def __init__(self, device: Device) -> None:
        self._nvml = device.nvml
        self._set = must(self._nvml.nvmlEventSetCreate)
        try:
            self._nvml.nvmlDeviceRegisterEvents(device.handle, _XID, self._set)
        except self._nvml.NVMLError:
            self.supported = False
        else:
            self.supported = True

    def numbers(self) -> list[int]:
        """Take what has come since the last call, without waiting."""
        found: list[int] = []
        while len(found) < _AT_ONCE:
            try:
                found.append(int(self._nvml.nvmlEventSetWait_v2(self._set, 0).eventData))
            except self._nvml.NVMLError:
                break
        return found
