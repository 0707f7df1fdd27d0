"""How large each process is, once a second: memory, open files, sockets."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from pathlib import Path

import psutil

from bench.chaos.judge import Sample, Trend, trend
from bench.chaos.stack import Stack


class Watch(threading.Thread):
    """Samples every process of the stack; one that was started again is another one."""

    def __init__(self, stack: Stack) -> None:
        super().__init__(name="watch", daemon=True)
        self._stack, self._ended = stack, threading.Event()
        self._known: dict[int, psutil.Process] = {}
        self._samples: defaultdict[tuple[str, int], list[Sample]] = defaultdict(list)

    def run(self) -> None:
        """Sample until the end."""
        while not self._ended.wait(1):
            for name, part in list(self._stack.parts.items()):
                self._take(name, part.pid)
                for child in part.children():
                    self._take(f"{name}'s {_kind(child)}", child.pid)

    def _take(self, name: str, pid: int) -> None:
        try:
            process = self._known.setdefault(pid, psutil.Process(pid))
            files = [str(one.readlink()) for one in Path(f"/proc/{pid}/fd").iterdir()]
            sockets = sum(one.startswith("socket:") for one in files)
            one = Sample(time.monotonic(), process.memory_info().rss, len(files), sockets)
        except (psutil.Error, OSError):  # it ended, or closed a file, meanwhile
            self._known.pop(pid, None)
            return
        self._samples[name, pid].append(one)

    def close(self) -> None:
        """Sample no more."""
        self._ended.set()
        self.join()

    @property
    def trends(self) -> list[Trend]:
        """Fit a line to each process that lived long enough."""
        found = [trend(name, samples) for (name, _), samples in sorted(self._samples.items())]
        return [one for one in found if one]


def _kind(process: psutil.Process) -> str:
    try:
        words = " ".join(process.cmdline())
    except psutil.Error:
        return "child"
    return next((kind for kind in ("worker", "sampler") if kind in words), "child")
