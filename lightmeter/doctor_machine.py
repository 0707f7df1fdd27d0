"""What the doctor looks at on the machine itself: disk, ports, clock, and the limits of this process."""

from __future__ import annotations

import ctypes
import itertools
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from lightmeter.doctor import Finding, Verdict
from lightmeter.errors import explain
from lightmeter.units import counted, show_bytes, show_duration


N = TypeVar("N", int, float)
MIN_FREE_BYTES = 2 * 1024**3
MIN_MEMORY_BYTES = 2 * 1024**3
"""The tiny model's worker and server take about half of it."""
FAR_SECONDS = 1.0
"""Two clocks that differ by more put a request into another moment than its GPU's readings."""
_UNSYNCHRONISED = 5
"""TIME_ERROR, what adjtimex returns while nothing disciplines the clock.
https://man7.org/linux/man-pages/man2/adjtimex.2.html"""
_LISTENS = "0A"
"""https://www.kernel.org/doc/html/latest/networking/proc_net_tcp.html"""


def check_disk(data: Path) -> Finding:
    """Look at the data folder, or where it would be: may it be written, and is there space."""
    place = next(
        folder for folder in (data.absolute(), *data.absolute().parents) if folder.exists()
    )
    free = shutil.disk_usage(place).free
    found = f"{show_bytes(free)} free at {place}"
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        fix = "give this user the folder, or name another with --data"
        return Finding("disk", Verdict.FAIL, f"{place} {explain(error)}", fix)
    if free >= MIN_FREE_BYTES:
        return Finding("disk", Verdict.OK, found)
    fix = f"free {show_bytes(MIN_FREE_BYTES)}, or name another folder with --data"
    return Finding("disk", Verdict.WARN, found, fix)


def check_port(option: str, port: int) -> Finding:
    """Look whether the port that an option would take is free on loopback, and who has it."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except PermissionError:
            fix = f"give {option} a port above 1023"
            return Finding(f"port {port}", Verdict.WARN, f"not for this user, and {option} would use it", fix)  # fmt: skip
        except OSError:
            fix = f"stop the other program or give another {option}; 'lightmeter up' finds a free one itself"
            found = f"taken, and {option} would use it{_by(holder(port))}"
            return Finding(f"port {port}", Verdict.WARN, found, fix)
    return Finding(f"port {port}", Verdict.OK, f"free, for {option}")


def _by(who: str) -> str:
    return f"; {who} has it" if who else ""


def holder(port: int, proc: Path = Path("/proc")) -> str:
    """Name the program that listens on a port, and its process id; empty where it is not ours to see.

    The name only: a command line may hold what is nobody's business.
    """
    links = {f"socket:[{inode}]" for inode in _inodes(port, proc)}
    for link in proc.glob("[0-9]*/fd/*") if links else ():
        try:
            if str(link.readlink()) in links:
                process = link.parents[1]
                return f"{(process / 'comm').read_text().strip()} (process {process.name})"
        except OSError:
            continue
    return ""


def _inodes(port: int, proc: Path) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        try:
            lines = (proc / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for words in map(str.split, lines):
            if words[3] == _LISTENS and int(words[1].rpartition(":")[2], 16) == port:
                yield words[9]


def check_clock(data: Path) -> Finding:
    """Look whether the clock is kept right, and agrees with the one of the data folder's disk."""
    place = next(
        folder for folder in (data.absolute(), *data.absolute().parents) if folder.exists()
    )
    return judge_clock(disk_skew(place), kept=synchronised())


def judge_clock(skew: float | None, *, kept: bool | None) -> Finding:
    """Judge a clock by its distance to the disk's, seconds, and whether something keeps it right."""
    if skew is not None and abs(skew) > FAR_SECONDS:
        fix = "let both machines keep their time with NTP (chrony, systemd-timesyncd)"
        found = f"{show_duration(abs(skew))} {'behind' if skew > 0 else 'ahead of'} the disk's"
        return Finding("clock", Verdict.WARN, found, fix)
    if kept is False:
        fix = (
            "start chrony or systemd-timesyncd; rates and windows are wrong where clocks are apart"
        )
        return Finding("clock", Verdict.WARN, "nothing keeps it right (the kernel says unsynchronised)", fix)  # fmt: skip
    found = "kept right" if kept else "runs; whether something keeps it right is not told here"
    return Finding("clock", Verdict.OK, found)


def disk_skew(place: Path) -> float | None:
    """Measure how far a disk's clock is ahead of ours, seconds; None where nothing can be written.

    It is another machine's where the folder is a network's.
    """
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            before = time.time()
            file.write(b"x")
            file.flush()
            stamped, after = os.fstat(file.fileno()).st_mtime, time.time()
    except OSError:
        return None
    # a kernel stamps with the time of its last tick, at most 10 ms ago
    return stamped - before if stamped < before else max(0.0, stamped - after)


def synchronised() -> bool | None:
    """Ask the kernel whether its clock is kept right; None where it does not tell."""
    try:
        asked = ctypes.CDLL(None, use_errno=True).adjtimex
    except (OSError, AttributeError):
        return None
    state = int(asked(ctypes.create_string_buffer(512)))  # a struct timex of zeros: only look
    return None if state < 0 else state != _UNSYNCHRONISED


@dataclass(frozen=True)
class Limits:
    """What the control groups of a process allow; None is no limit."""

    memory_bytes: int | None
    cpus: float | None
    killed: int = 0
    """How often one of its processes was killed for want of memory."""


def check_cgroup() -> Finding:
    """Look at the memory and the CPUs that this process may use."""
    return judge_limits(limits(), os.cpu_count() or 1, len(os.sched_getaffinity(0)))


def judge_limits(found: Limits, cpus: int, allowed: int) -> Finding:
    """Judge limits on a machine of so many CPUs, of which this process may run on ``allowed``."""
    share = min(found.cpus or cpus, allowed)
    memory = show_bytes(found.memory_bytes) if found.memory_bytes else "all memory"
    said = f"{memory}, {share:g} of {counted(cpus, 'CPU')}"
    if found.killed:
        fix = "raise the container's memory limit; what died is in the kernel's log"
        return Finding("limits", Verdict.WARN, f"{said}; killed {counted(found.killed, 'time')} for want of memory", fix)  # fmt: skip
    if found.memory_bytes is not None and found.memory_bytes < MIN_MEMORY_BYTES:
        fix = f"give the container {show_bytes(MIN_MEMORY_BYTES)} at least, and a real model's size on top"
        return Finding("limits", Verdict.WARN, said, fix)
    if share < cpus and found.cpus is not None:
        fix = f"set OMP_NUM_THREADS={max(1, int(share))}: torch makes a thread for each CPU that it sees"
        return Finding("limits", Verdict.WARN, said, fix)
    return Finding("limits", Verdict.OK, said)


def limits(proc: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> Limits:
    """Read what the control groups of this process allow, version 2 or 1, parents included.

    https://docs.kernel.org/admin-guide/cgroup-v2.html
    """
    try:
        lines = [line.split(":", 2) for line in proc.read_text().splitlines()]
    except OSError:
        lines = []
    places = {name: path.strip("/") for _, names, path in lines for name in names.split(",")}
    if (root / "cgroup.controllers").exists():
        folders = _folders(root, places.get("", ""))
        memory = [_number(folder / "memory.max") for folder in folders]
        cpus = [_quota(_words(folder / "cpu.max")) for folder in folders]
        return Limits(_least(memory), _least(cpus), _killed(folders))
    memory = [_number(one / "memory.limit_in_bytes") for one in _folders(root / "memory", places.get("memory", ""))]  # fmt: skip
    timed = _folders(root / "cpu", places.get("cpu", ""))
    cpus = [_quota([*_words(one / "cpu.cfs_quota_us"), *_words(one / "cpu.cfs_period_us")]) for one in timed]  # fmt: skip
    return Limits(_least(memory), _least(cpus))


def _folders(root: Path, path: str) -> list[Path]:
    """List a group's folder and those above it; a namespace may hide all but the root."""
    inner = root / path
    return [inner, *(folder for folder in inner.parents if folder.is_relative_to(root))]


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []


def _number(path: Path) -> int | None:
    words = _words(path)
    no_limit = 2**60  # version 1 says a number near 2**63
    return int(words[0]) if words and words[0].isdecimal() and int(words[0]) < no_limit else None


def _quota(words: list[str]) -> float | None:
    if len(words) < 2 or not words[0].isdecimal():  # noqa: PLR2004  (quota and period)
        return None
    return int(words[0]) / int(words[1])


def _killed(folders: list[Path]) -> int:
    words = next((found for folder in folders if (found := _words(folder / "memory.events"))), [])
    return next((int(count) for name, count in itertools.pairwise(words) if name == "oom_kill"), 0)  # fmt: skip


def _least(values: Iterable[N | None]) -> N | None:
    return min((value for value in values if value is not None), default=None)
