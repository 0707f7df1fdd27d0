"""How full file systems are, asked by a thread of its own.

A network file system whose server is gone answers nobody, for hours: asking it must not hold up a
scrape, nor the other file systems.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


EVERY_SECONDS = 10.0
STUCK_SECONDS = 5.0
"""A file system that takes longer is reported as not answering, and no longer waited for."""
FIRST_SECONDS = 1.0
"""How long the first look waits for the answers."""
# fmt: off
_KINDS = frozenset({
    "autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts",
    "devtmpfs", "fusectl", "hugetlbfs", "iso9660", "mqueue", "nsfs", "overlay", "proc",
    "procfs", "pstore", "rpc_pipefs", "securityfs", "selinuxfs", "squashfs", "erofs", "sysfs",
    "tracefs",
})
# fmt: on
"""What holds no data of its own."""
_POINTS = re.compile(
    r"/(dev|proc|sys|run/credentials/.+|run/k3s/containerd/.+|var/lib/docker/.+"
    r"|var/lib/containers/storage/.+|var/lib/kubelet/pods/.+)($|/)"
)
_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class Mount:
    """Where what is mounted."""

    device: str
    point: str
    kind: str


@dataclass(frozen=True)
class Space:
    """Bytes and inodes of a file system; ``avail`` is what users without privileges can have."""

    size: int
    free: int
    avail: int
    files: int
    files_free: int
    readonly: bool


def parse(text: str) -> list[Mount]:
    """Read /proc/PID/mounts, leaving out what holds no data; the last of several at one place counts."""
    rows = [line.split(" ") for line in text.splitlines() if line.count(" ") >= 3]  # noqa: PLR2004  (columns)
    found = {_plain(row[1]): Mount(_plain(row[0]), _plain(row[1]), row[2]) for row in rows}
    return [m for m in found.values() if m.kind not in _KINDS and not _POINTS.match(m.point)]


def _plain(word: str) -> str:
    return _OCTAL.sub(lambda code: chr(int(code[1], 8)), word)


class Mounts:
    """Asks a machine's file systems every few seconds; ``root`` is where they are seen from here."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._mounted: frozenset[Mount] = frozenset()
        self._answers: dict[Mount, Space | None] = {}
        self._asked: dict[Mount, float] = {}
        self._end = threading.Event()
        self._first = threading.Event()
        self._lock = threading.Lock()
        threading.Thread(target=self._ask_all, name="mounts", daemon=True).start()

    def look(self) -> Iterator[tuple[Mount, Space | None]]:
        """Tell each file system's space; None where it cannot be asked or does not answer."""
        self._first.wait(FIRST_SECONDS)
        now = time.monotonic()
        with self._lock:
            late = [mount for mount, at in self._asked.items() if now - at > STUCK_SECONDS]
            known, mounted = {**self._answers, **dict.fromkeys(late)}, self._mounted
        return ((mount, space) for mount, space in known.items() if mount in mounted)

    def close(self) -> None:
        """Stop asking."""
        self._end.set()

    def _ask_all(self) -> None:
        while not self._end.is_set():
            current = self._list()
            with self._lock:
                stuck = set(self._asked)
                self._mounted = frozenset(current)
                self._answers = {m: s for m, s in self._answers.items() if m in self._mounted}
            for mount in current:
                if mount not in stuck:
                    self._ask_in_time(mount)
            self._first.set()
            self._end.wait(EVERY_SECONDS)

    def _ask_in_time(self, mount: Mount) -> None:
        """Ask in a thread that may be left behind: nothing else ends a call that never returns."""
        with self._lock:
            self._asked[mount] = time.monotonic()
        asking = threading.Thread(target=self._ask, args=(mount,), daemon=True)
        asking.start()
        asking.join(STUCK_SECONDS)

    def _ask(self, mount: Mount) -> None:
        space = None
        try:
            seen = os.statvfs(
                f"{self._root}{mount.point}" if self._root != Path("/") else mount.point
            )
            total, free, ours = (
                blocks * seen.f_frsize for blocks in (seen.f_blocks, seen.f_bfree, seen.f_bavail)
            )
            space = Space(
                total, free, ours, seen.f_files, seen.f_ffree, bool(seen.f_flag & os.ST_RDONLY)
            )
        except OSError:
            pass
        with self._lock:
            del self._asked[mount]
            self._answers[mount] = space

    def _list(self) -> list[Mount]:
        """List what is mounted: as the first process sees it, which is the machine's own view."""
        for process in ("1", "self"):
            try:
                text = (self._root / "proc" / process / "mounts").read_text(errors="replace")
                return parse(text)
            except OSError:
                continue
        return []
