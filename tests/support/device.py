"""A device that works behind the host's back, as a GPU does; its clock is in the test's hand."""

from __future__ import annotations


class Device:
    """A queue of work: added to now, passed when somebody waits. Times in milliseconds."""

    def __init__(self, work_per_event: float = 0.0) -> None:
        """Make an idle device, on which so much work precedes each recorded event."""
        self.work_per_event = work_per_event
        self.queued = 0.0
        self.passed = 0.0
        self.waits: list[float] = []

    def work(self, milliseconds: float) -> None:
        """Queue some work."""
        self.queued += milliseconds

    @property
    def ahead(self) -> float:
        """Work that the host has queued and the device has not done."""
        return self.queued - self.passed


class DeviceEvent:
    """Like `torch.cuda.Event`, it cannot be read before the device has come to it."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._at = -1.0

    def record(self) -> None:
        """Put the event behind the work that is queued."""
        self._device.work(self._device.work_per_event)
        self._at = self._device.queued

    def synchronize(self) -> None:
        """Let the device come to the event."""
        self._device.waits.append(self._at)
        self._device.passed = max(self._device.passed, self._at)

    def elapsed_time(self, later: DeviceEvent) -> float:
        """Milliseconds to a later event.

        Raises:
            RuntimeError: the device has not come to it.
        """
        if self._device.passed < later._at:
            raise RuntimeError("Both events must be completed before calculating elapsed time.")
        return later._at - self._at
