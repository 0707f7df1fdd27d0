"""Starts the processes in which rows are measured, asks them, and cuts off what takes too long."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Self

from bench.gpu.table import Row


class Runner:
    """One process at a time, kept from row to row while they name the same one."""

    def __init__(self, device: str, work: Path, log: Path) -> None:
        self._device, self._work, self._log = device, work, log
        self._name = ""
        self._process: subprocess.Popen[str] | None = None
        self._told: queue.Queue[dict[str, Any]] = queue.Queue()
        self._listener = threading.Thread()

    def measure(self, row: Row, seconds: float) -> Iterator[dict[str, Any]]:
        """Have a row measured; yields its lines, then its end.

        A process that dies, or takes longer than it may, ends the row, and is gone.
        """
        process = self._at_work(row.process)
        until = time.monotonic() + seconds
        with contextlib.suppress(OSError):  # it died; that will be heard
            _input(process).write(json.dumps({"row": row.name, "seconds": seconds}) + "\n")
            _input(process).flush()
        while True:
            try:
                told = self._told.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                self.end()
                told = {"end": "waiting", "reason": f"it was cut off after {seconds:.0f} s"}
            if "died" in told:
                self.end()
                told = {"end": "waiting", "reason": f"its process ended with {told['died']}"}
            yield told
            if "end" in told:
                return

    def _at_work(self, name: str) -> subprocess.Popen[str]:
        if self._process and self._name == name:
            return self._process
        self.end()
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("a", encoding="utf-8") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "bench.gpu.child", self._device, str(self._work)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,  # so that what it starts ends with it
            )
        self._name, self._process, self._told = name, process, queue.Queue()
        self._listener = threading.Thread(target=_listen, args=(process, self._told), daemon=True)
        self._listener.start()
        return process

    def end(self) -> None:
        """End the process and whatever it has started."""
        process, self._process = self._process, None
        if process:
            _input(process).close()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            self._listener.join()
            if process.stdout:
                process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


def _input(process: subprocess.Popen[str]) -> IO[str]:
    if process.stdin is None:
        raise OSError("the process has no stdin")
    return process.stdin


def _listen(process: subprocess.Popen[str], told: queue.Queue[dict[str, Any]]) -> None:
    for line in process.stdout or ():
        told.put(json.loads(line))
    told.put({"died": process.wait()})
