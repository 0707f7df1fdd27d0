"""Programs of the stack: started with a fixed command, killed, started again; and what they leave."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil


MARK = "CHAOS_RUN"
"""A variable that every process of a run inherits, whoever its parent is by now."""
END_SECONDS = 90.0


class Part:
    """One program with its command, its environment and its log; the log outlives each start."""

    def __init__(self, name: str, command: Sequence[str], log: Path, env: Mapping[str, str]) -> None:  # fmt: skip
        self.name, self.log = name, log
        self.exits: list[int] = []
        """How it ended where it was asked to."""
        self._command, self._env = list(command), dict(env)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, where it does not run."""
        if self.alive:
            return
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command, env=self._env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)  # fmt: skip

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id; 0 before its first start."""
        return self._process.pid if self._process else 0

    def children(self) -> list[psutil.Process]:
        """List the processes below it."""
        try:
            return psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def kill(self) -> None:
        """End it with SIGKILL."""
        if self._process:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """Ask it to end, and keep its exit code; -9 where it does not."""
        if not self._process or not self.alive:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self.exits.append(self._process.wait(END_SECONDS))
        except subprocess.TimeoutExpired:
            self.kill()
            self.exits.append(-signal.SIGKILL)


def marked(run: str) -> list[psutil.Process]:
    """List the living processes that carry a run's mark."""
    wanted = f"{MARK}={run}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                found.append(psutil.Process(int(folder.name)))
        except (OSError, psutil.NoSuchProcess):
            continue
    return [one for one in found if _living(one)]


def _living(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def orphans(run: str) -> list[str]:
    """Name the processes of a run that have a parent outside of it."""
    inside = {one.pid for one in marked(run)} | {os.getpid()}
    found = []
    for one in marked(run):
        try:
            if one.ppid() not in inside:
                found.append(f"{one.pid} {' '.join(one.cmdline())[:120]}")
        except psutil.NoSuchProcess:
            continue
    return found


def until(condition: Callable[[], object], seconds: float, pause: float = 0.2) -> bool:
    """Wait for a condition; False where it never came true."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(pause)
    return True
