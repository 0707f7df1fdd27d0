"""The GPUs of this machine as far as they are known, and what each last said: pure, time comes in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from exporter.frames import Json
from exporter.part import Part
from exporter.snapshot import Fleet, Gpu, Health, Snapshot
from exporter.watch import Watch
from lightmeter.catalog import GpuState


_NOTHING = (GpuState.LOST, GpuState.DRIVER_MISSING)
"""What is said of a machine that shows no GPU: rightly, if it has none."""


@dataclass(frozen=True)
class Options:
    """How GPUs are sampled. Times are seconds."""

    hz: float = 20.0
    """Looks at each GPU's memory in a second."""
    peak_window: float = 60.0
    """Over which the highest memory use is remembered."""
    silence: float = 3.0
    """After which a GPU that says nothing counts as hung."""
    start: float = 15.0
    """For the first word of a sampler, the driver's start included."""
    expected: int | None = None
    """GPUs that there should be; None is as many as were ever seen."""
    root: str = "/"
    """Where the machine's file system is seen, which tells whether it has a GPU at all."""


class Slot:
    """One GPU. Its index stays as it was first seen, also where the driver's numbers move up."""

    def __init__(self, index: int, uuid: str | None, watch: Watch, window: float) -> None:
        self.index, self.uuid, self.watch = index, uuid, watch
        self.snapshots: tuple[Snapshot, ...] = ()
        self._window = window
        self._parts: list[Part] = []
        self._known: dict[str, Part] = {}

    @property
    def seen(self) -> dict[str, tuple[float, float]]:
        """What the next sampler needs to go on from."""
        return {uuid: part.seen for uuid, part in self._known.items()}

    @property
    def notes(self) -> tuple[str, ...]:
        """What is not read but worked out."""
        return tuple(note for part in self._parts for note in part.notes)

    def introduced(self, parts: Sequence[Json], unix: float) -> None:
        """Take in which GPU it is, and its MIG instances; one that is known goes on.

        Raises:
            KeyError, TypeError: it is no list of parts.
        """
        self._parts = []
        for plain in parts:
            split = plain.pop("split")
            gpu = Gpu(**plain)
            own = gpu.mig_uuid or gpu.uuid
            part = self._known.setdefault(own, Part(gpu, self._window, unix))
            part.gpu, part.split = gpu, split
            self._parts.append(part)
        self.uuid = self._parts[0].gpu.uuid

    def sampled(self, frame: Json, now: float, unix: float) -> None:
        """Take in what a sampler has read, at a moment by both clocks.

        Raises:
            KeyError, TypeError: it is no frame of readings.
        """
        for part, raw in zip(self._parts, frame["raw"], strict=True):
            part.take(raw, frame["at"], unix)
        self.snapshots = tuple(part.snapshot(frame["at"], unix) for part in self._parts)
        self.watch.sampled(frame["at"], now)


class Roster:
    """All GPUs ever seen. ``expected`` is how many there should be, where that is configured."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._state: str = GpuState.STARTING
        self._detail = ""
        self._there = True
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
        options = self._options
        watch = Watch(options.silence, options.start)
        self.slots.setdefault(index, Slot(index, uuid, watch, options.peak_window))

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

    def looked(self, *, there: bool) -> None:
        """Take in whether the machine has a GPU, whatever its driver says."""
        self._there = there

    def health(self, now: float) -> Iterator[Health]:
        """Tell of each GPU, known or expected, whether it answers; of the machine where there is none."""
        for slot in self.slots.values():
            yield slot.watch.health(now, slot.index, slot.uuid)
        missing = range(len(self.slots), self._options.expected or 0)
        places: Sequence[int | None] = missing if missing or self.slots else (None,)
        state, detail = self._state, self._detail
        if state == GpuState.OK:
            state, detail = GpuState.LOST, "the driver does not show it"
        if state in _NOTHING and list(places) == [None] and not self._there:
            state, detail = GpuState.NO_GPU, "none on the PCI bus, none ever seen, none expected"
        for index in places:
            yield Health(
                index=index, uuid=None, up=False, reason=state, age_seconds=None, detail=detail
            )

    def fleet(self, now: float) -> Fleet:
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
            expected=self._options.expected or len(self.slots) or None,
            source="nvml",
            peak_window_seconds=self._options.peak_window,
        )
