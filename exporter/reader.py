"""What a sampler reads of a GPU or a MIG instance: raw, for others to reckon with.

This runs once for each GPU, so it does little and keeps little. What was not sent yet is kept until it
is: nothing that was read is lost because nobody had time to listen.
"""

from __future__ import annotations

from typing import Any

from exporter.events import XidEvents
from exporter.gpm import Profile
from exporter.nvml import Device


Raw = dict[str, Any]
FIELDS = (3, 4, 5, 6, 74, 75, 76, 77, 78, 79, 82, 83, 94, 142, 143, 145)
"""NVML's field values: ECC errors, times with the clocks held down, memory temperature, energy, PCIe
replays, remapped rows."""
RING_SECONDS = 15.0
"""Without a new sample after which the whole ring is looked at: the driver's clock may have gone back."""
SHARES_SECONDS = 60.0
"""The same for the shares of processes."""
LOOK_BACK = 2.0
"""Seconds: how far before now the shares of processes are asked for where none came for long."""
MOST = 240
"""Drains that are kept for a listener that does not listen: two minutes."""


class Cursor:
    """After which moment of the driver's clock to ask for more; 0 asks for all that it has.

    Now and then, where nothing new comes, it is asked for all: its clock may have been set back.
    """

    def __init__(self, seen: float, give_up: float) -> None:
        self.seen, self._give_up = seen, give_up
        self._quiet = self._unsure = 0.0

    def since(self, look_back: float | None = None) -> float:
        """Tell the moment; with ``look_back`` no further before now than that."""
        if not self.seen or self._unsure > self._give_up:
            return 0.0
        return self.seen if look_back is None else max(self.seen, self.seen + self._quiet - look_back)  # fmt: skip

    def move(self, newest: float | None, elapsed: float) -> None:
        """Go on to the newest moment of an answer; None for an empty one."""
        if newest is None or newest == self.seen:
            self._quiet += elapsed
            self._unsure = 0.0 if self._unsure > self._give_up else self._unsure + elapsed
        else:
            self.seen, self._quiet, self._unsure = newest, 0.0, 0.0


class Reader:
    """Reads one part. ``split`` is a GPU whose memory and work its MIG instances tell.

    ``seen`` are the newest moments that were already heard of: of the ring, and of processes.
    """

    def __init__(
        self, device: Device, seen: tuple[float, float], events: XidEvents | None, *, split: bool
    ) -> None:
        self._device, self._events, self._split = device, events, split
        self._whole = device.parent is None
        self._profile = Profile(device)
        self._ring = Cursor(seen[0], RING_SECONDS)
        self._shares = Cursor(seen[1], SHARES_SECONDS)
        self._has_ring = True
        self._sent()

    def _sent(self) -> None:
        self._high = 0
        self._memory: tuple[int, int, int, int | None] | None = None
        self._polls = [0.0, 0.0]
        self._drains: list[list[Any]] = []
        self._reads: list[Raw] = []

    def tick(self, elapsed: float) -> None:
        """Read what changes fastest: memory, and utilisation where there is no ring."""
        if self._split:
            return
        used = self._device.used()
        if used is not None and used > self._high:
            self._high = used
        if not self._has_ring:
            rates = self._device.rates()
            if rates:
                self._polls[0] += elapsed
                self._polls[1] += elapsed * rates[0]

    def drain(self, elapsed: float) -> None:
        """Take what the driver has sampled, or its present value where that is nothing new."""
        if self._split or len(self._drains) >= MOST:
            return
        self._memory = self._device.memory()
        samples = self._device.samples(self._ring.since())
        self._has_ring = samples is not None
        polled = None
        if samples is not None:
            newest = max(samples)[0] if samples else None
            if newest is None or newest <= self._ring.seen:
                rates = self._device.rates()
                polled = rates[0] if rates else None
            self._ring.move(newest, elapsed)
        self._drains.append([elapsed, samples, polled])

    def read(self, elapsed: float) -> None:
        """Read everything else."""
        if len(self._reads) >= MOST:
            return
        found: Raw = {"elapsed": elapsed}
        if self._whole:
            found["device"] = self._device.readings()
            found["fields"] = self._device.fields(*FIELDS)
        if self._events:
            found["xids"] = self._events.numbers()
        if not self._split:
            found["profile"] = self._profile.read()
            found["used"] = self._device.processes()
            asked = self._shares.since(LOOK_BACK)
            shares = self._device.shares(asked) if found["used"] is not None else None
            found["shares"], found["asked"] = shares, asked
            if shares is not None:
                self._shares.move(max((at for _, at, _ in shares), default=None), elapsed)
        self._reads.append(found)

    def raw(self) -> Raw:
        """Tell what has been read since it was last `sent`."""
        return {
            "high": self._high,
            "memory": self._memory,
            "polls": self._polls,
            "drains": self._drains,
            "reads": self._reads,
        }

    def sent(self) -> None:
        """Forget what has been told."""
        self._sent()
