"""Keeps a sampler at work for each GPU, and knows what they last said.

A thread of its own listens to them; `Supervisor.fleet` puts together what it has heard and waits for
nothing. This process never calls the driver.
"""

from __future__ import annotations

import dataclasses
import logging
import selectors
import socket
import threading
import time
from collections.abc import Sequence
from typing import Any

from exporter import bus, frames, nursery, sampling
from exporter.frames import Json
from exporter.roster import Options, Roster, Slot
from exporter.snapshot import Fleet, Health
from exporter.starter import Starter
from exporter.watch import CensusWatch, Do
from lightmeter.catalog import GpuState


__all__ = ["Options", "Supervisor"]
_log = logging.getLogger(__name__)
_TURN_SECONDS = 0.25
_GATHER_SECONDS = 0.02
"""Samplers speak within a few milliseconds of each other; all are heard in one turn."""
_HELD_UP_SECONDS = 1.0
_REST_SECONDS = 1.0
"""Before another nursery is started in place of one that is gone, or could not be started."""
_FRAME_BYTES = 1 << 18
_CENSUS = "census"


class Supervisor:
    """The source of readings that is this machine's NVIDIA driver.

    Make it before any other thread of the process: its processes then share this one's memory.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._roster = Roster(options)
        self._census = CensusWatch()
        self._said: dict[int | None, Health] = {}
        self._noted: dict[int, tuple[str, ...]] = {}
        self._channels: dict[str, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._starter = self._begin()
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._work, name="gpu-supervisor", daemon=True)
        self._thread.start()

    def fleet(self) -> Fleet:
        """Tell what is known now."""
        with self._lock:
            return self._roster.fleet(time.monotonic())

    def close(self) -> None:
        """End the samplers."""
        if not self._ending.is_set():
            self._ending.set()
            self._thread.join()
            self._end()
            self._selector.close()

    def _begin(self) -> Starter:
        """Start a nursery; it never speaks, so that it can be read from will mean that it is gone."""
        starter = Starter()
        self._selector.register(starter.orders, selectors.EVENT_READ, "")
        return starter

    def _end(self) -> None:
        """End the nursery and every sampler; where it has ended already, do nothing."""
        if self._starter.closed:
            return
        self._selector.unregister(self._starter.orders)
        self._starter.close()  # it may take seconds where a sampler is stuck: nobody waits for that
        with self._lock:
            for name in list(self._channels):
                self._drop(name)

    def _work(self) -> None:
        while not self._ending.is_set():
            try:
                if self._starter.closed:
                    self._starter = self._begin()
                self._turn()
            except Exception as error:  # noqa: BLE001  (the thread must go on, whatever it is)
                level = logging.WARNING if isinstance(error, OSError) else logging.ERROR
                _log.log(level, "the samplers are started anew: %s", error, exc_info=level > logging.WARNING)  # fmt: skip
                self._end()
                self._ending.wait(_REST_SECONDS)

    def _turn(self) -> None:
        """Listen for a moment to all that is said, then do what is due.

        Raises:
            OSError: the nursery is gone.
        """
        begun = time.monotonic()
        if self._selector.select(_TURN_SECONDS):
            self._ending.wait(_GATHER_SECONDS)
        heard = self._selector.select(0)
        with self._lock:
            for key, _ in heard:
                self._hear(key.data)
            now = time.monotonic()
            if now - begun > _HELD_UP_SECONDS:
                return  # stopped ourselves: nobody is judged before he was listened to
            for slot in self._roster.slots.values():
                self._look_after(slot, now)
            health = list(self._roster.health(now))
            self._count(now, amiss=not all(one.up for one in health))
        self._tell(health)

    def _look_after(self, slot: Slot, now: float) -> None:
        name, due = str(slot.index), slot.watch.due(now)
        if due is Do.START:
            spec = sampling.Spec(slot.index, slot.uuid, self._options.hz, slot.seen)
            self._start(nursery.SPAWN, name, dataclasses.asdict(spec))
            slot.watch.started(now)
        elif due is Do.KILL:
            self._starter.kill(name)
            slot.watch.killed()

    def _count(self, now: float, *, amiss: bool) -> None:
        due = self._census.due(now, amiss=amiss)
        if due is Do.START:
            self._start(nursery.CENSUS, _CENSUS)
            self._census.started(now)
        elif due is Do.KILL:
            self._starter.kill(_CENSUS)
            self._census.killed()

    def _start(self, do: str, name: str, spec: Any = None) -> None:
        channel = self._starter.start(do, name, spec)
        self._channels[name] = channel
        self._selector.register(channel, selectors.EVENT_READ, name)

    def _hear(self, name: str) -> None:
        """Take in everything that a process has said, so that none is judged by what it said long ago."""
        if not name:
            raise OSError("the process that starts them is gone")
        while channel := self._channels.get(name):
            try:
                text = channel.recv(_FRAME_BYTES)
            except BlockingIOError:
                return
            except OSError:
                text = b""
            if not text:
                self._drop(name)
            elif name == _CENSUS:
                self._take_census(frames.loads(text))
            else:
                self._take(self._roster.slots[int(name)], frames.loads(text))

    def _drop(self, name: str) -> None:
        """Take in that a process is gone."""
        channel = self._channels.pop(name)
        self._selector.unregister(channel)
        channel.close()
        watch = self._census if name == _CENSUS else self._roster.slots[int(name)].watch
        watch.ended(time.monotonic())

    def _take_census(self, frame: Json) -> None:
        self._roster.looked(there=bus.has_gpu(self._options.root))
        if frame["kind"] == sampling.FAULT:
            self._roster.failed(frame["state"], frame["detail"])
        else:
            self._roster.counted(frame["count"], frame["uuids"])

    def _take(self, slot: Slot, frame: Json) -> None:
        if frame["kind"] == sampling.FAULT:
            slot.watch.failed(frame["state"], frame["detail"])
            return
        if frame["kind"] == sampling.PARTS:
            slot.introduced(frame["parts"], time.time())
            return
        slot.sampled(frame, time.monotonic(), time.time())
        if self._noted.get(slot.index, ()) != slot.notes:
            self._noted[slot.index] = slot.notes
            _log.info("%s: %s", _name(slot.index), "; ".join(slot.notes) or "all is read")

    def _tell(self, health: Sequence[Health]) -> None:
        """Log what has changed."""
        now = {one.index: one for one in health}
        for index, one in now.items():
            before = self._said.get(index)
            if before and before.reason == one.reason:
                continue
            if one.up:
                _log.info("%s answers (%s)", _name(index), one.uuid)
            elif one.reason == GpuState.NO_GPU:
                _log.info("this machine has no NVIDIA GPU (%s); the host is exported", one.detail)
            elif before or one.reason != "starting":
                _log.warning("%s is not read: %s (%s)", _name(index), one.reason, one.detail)
        self._said = now


def _name(index: int | None) -> str:
    return "the GPU" if index is None else f"GPU {index}"
