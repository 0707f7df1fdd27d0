"""The GPUs of this machine as far as they are known, and what each last said: pure, time comes in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from exporter.frames import Json, to_snapshot
from exporter.snapshot import Fleet, Health, Snapshot
from exporter.watch import Watch
from lightmeter.catalog import GpuState


@dataclass
class Slot:
    """One GPU. Its index stays as it was first seen, also where the driver's numbers move up."""

    index: int
    uuid: str | None
    watch: Watch
    snapshots: tuple[Snapshot, ...] = ()
    notes: tuple[str, ...] = ()
    memo: dict[str, Any] = field(default_factory=dict)

    def said(self, frame: Json, now: float) -> None:
        """Take in a sampler's frame.

        Raises:
            KeyError, TypeError: it is no frame of readings.
        """
        self.snapshots = tuple(to_snapshot(plain) for plain in frame["snapshots"])
        self.notes = tuple(frame["notes"])
        self.uuid = self.snapshots[0].gpu.uuid
        self.memo |= frame["memo"]
        self.watch.sampled(frame["at"], now)


class Roster:
    """All GPUs ever seen. ``expected`` is how many there should be, where that is configured."""

    def __init__(self, silence: float, start: float, expected: int | None = None) -> None:
        self._silence, self._start, self._configured = silence, start, expected
        self._state: str = GpuState.STARTING
        self._detail = ""
        self.slots: dict[int, Slot] = {}

    def counted(self, count: int, uuids: Sequence[str] | None) -> None:
        """Take in how many GPUs there are, and once they have answered which."""
        self._state, self._detail = GpuState.OK, ""
        if not self.slots or uuids is None:
            for index in range(count):
                self._add(index, None)
        for index, uuid in enumerate(uuids or ()):
            self._place(index, uuid, uuids or ())

    def _add(self, index: int, uuid: str | None) -> None:
        self.slots.setdefault(index, Slot(index, uuid, Watch(self._silence, self._start)))

    def _place(self, index: int, uuid: str, uuids: Sequence[str]) -> None:
        """Find the slot of a GPU: its own, that of one it replaces, or a new one."""
        if uuid in {slot.uuid for slot in self.slots.values()}:
            return
        there = self.slots.get(index)
        if there is None:
            self._add(index, uuid)
        elif there.uuid is None:
            return  # its sampler will say which it is
        elif there.uuid not in uuids and there.watch.state != GpuState.OK:
            there.uuid, there.snapshots = uuid, ()
        else:
            self._add(next(i for i in range(len(self.slots) + 1) if i not in self.slots), uuid)

    def failed(self, state: str, detail: str) -> None:
        """Take in why the GPUs cannot be counted."""
        self._state, self._detail = state, detail

    def health(self, now: float) -> Iterator[Health]:
        """Tell of each GPU, known or expected, whether it answers; of the machine where there is none."""
        for slot in self.slots.values():
            yield slot.watch.health(now, slot.index, slot.uuid)
        missing = range(len(self.slots), self._configured or 0)
        places: Sequence[int | None] = missing if missing or self.slots else (None,)
        state, detail = self._state, self._detail
        if state == GpuState.OK:
            state, detail = GpuState.LOST, "the driver does not show it"
        for index in places:
            yield Health(
                index=index, uuid=None, up=False, reason=state, age_seconds=None, detail=detail
            )

    def fleet(self, now: float, window: float) -> Fleet:
        """Tell all that is known."""
        health = tuple(self.health(now))
        up = {one.index for one in health if one.up}
        return Fleet(
            snapshots=tuple(
                snapshot
                for slot in self.slots.values()
                if slot.index in up
                for snapshot in slot.snapshots
            ),
            health=health,
            expected=self._configured or len(self.slots) or None,
            source="nvml",
            peak_window_seconds=window,
        )
