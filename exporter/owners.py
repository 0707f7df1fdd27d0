"""Who owns the processes on the GPUs: looked up once for each, off the scrape's path.

A container's busy seconds are added up here, process by process, so that they do not fall when one
of its processes ends.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from exporter import grants
from exporter.attribution import MPS_SERVER, Block, Known, device, prepare
from exporter.cgroups import parse
from exporter.pods import Names
from exporter.snapshot import Fleet, Owner, Process, Snapshot


EVERY_SECONDS = 1.0
AGAIN_SECONDS = 10.0
"""How long a process id is believed to be the same process, and a pod to have the same name."""
KEPT_SECONDS = 300.0
"""How long a container's busy seconds are shown after its last process ended."""
_MPS_COMM = "nvidia-cuda-mps"  # nvidia-cuda-mps-server, cut at the kernel's 15 characters
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Entry:
    """A process: whose it is, and when that was looked up."""

    owner: Owner | None
    grants: tuple[grants.Grant, ...]
    at: float


class Ledger:
    """Busy seconds of owners on GPUs, from the counters of processes that come and go."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, int], float] = {}
        self._sums: dict[str, dict[Owner, float]] = {}
        self._seen: dict[tuple[str, Owner], float] = {}

    def add(self, snapshot: Snapshot, owners: Mapping[int, Owner], now: float) -> None:
        """Add what the processes of a GPU have done since the last time."""
        for process in snapshot.processes or ():
            owner, busy = owners.get(process.pid), process.busy_seconds
            if owner is None or busy is None:
                continue
            uuid = device(snapshot.gpu)
            before = self._last.get((uuid, process.pid), 0.0)
            self._last[uuid, process.pid] = busy
            grown = busy - before if busy >= before else busy  # less: another process of that id
            sums = self._sums.setdefault(uuid, {})
            sums[owner] = sums.get(owner, 0.0) + grown
            self._seen[uuid, owner] = now

    def sums(self, now: float) -> dict[str, dict[Owner, float]]:
        """Tell the sums by UUID and owner, without owners who have been gone for long."""
        for uuid, owner in [one for one, at in self._seen.items() if now - at > KEPT_SECONDS]:
            del self._seen[uuid, owner], self._sums[uuid][owner]
        return {uuid: dict(sums) for uuid, sums in self._sums.items() if sums}

    def forget(self, alive: Iterable[tuple[str, int]]) -> None:
        """Forget the counters of processes that are no longer on their GPU."""
        kept = set(alive)
        self._last = {pid: busy for pid, busy in self._last.items() if pid in kept}


class Owners:
    """Keeps ``known`` and ``blocks``, which are for the page, up to date.

    ``root`` is where the host's file system is seen from here, ``limit`` the most series.
    """

    def __init__(
        self,
        root: Path,
        *,
        exclusive: Callable[[], Mapping[str, Owner]] = dict,
        limit: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.known = Known()
        self.blocks: Mapping[str, Block] = {}
        self._limit = limit
        self._proc = root / "proc"
        self._names = Names(root, clock)
        self._exclusive = exclusive
        self._clock = clock
        self._entries: dict[int, _Entry] = {}
        self._ledger = Ledger()
        self._end = threading.Event()
        self.sees_host = sees_host(self._proc)

    def start(self, fleet: Callable[[], Fleet]) -> None:
        """Refresh every second from here on, in a thread."""
        if not self.sees_host:
            _log.warning(
                "GPU memory stays unattributed: %s shows a container's own processes, not the host's; "
                "run with the host's process ids (hostPID: true, docker run --pid=host)",
                self._proc,
            )
        threading.Thread(target=self._work, args=(fleet,), name="owners", daemon=True).start()

    def close(self) -> None:
        """Stop refreshing."""
        self._end.set()

    def _work(self, fleet: Callable[[], Fleet]) -> None:
        said = ""
        while not self._end.is_set():
            try:
                self.refresh(fleet())
            except Exception as error:  # noqa: BLE001  (the edge of a thread: next second it may work)
                if said != repr(error):
                    said = repr(error)
                    _log.exception("who owns which process could not be looked up")
            self._end.wait(EVERY_SECONDS)

    def refresh(self, fleet: Fleet) -> None:
        """Look up processes that are new, and add up what all have done."""
        now = self._clock()
        exclusive = self._exclusive()
        self._entries = {
            process.pid: self._entry(process, now)
            for snapshot in fleet.snapshots
            for process in snapshot.processes or ()
        }
        owners = {
            process.pid: exclusive.get(device(snapshot.gpu), owner) if _nameless(owner) else owner
            for snapshot in fleet.snapshots
            for process in snapshot.processes or ()
            if (owner := self._entries[process.pid].owner)
        }
        for snapshot in fleet.snapshots:
            self._ledger.add(snapshot, owners, now)
        self._ledger.forget(
            (device(snapshot.gpu), process.pid)
            for snapshot in fleet.snapshots
            for process in snapshot.processes or ()
        )
        self.known = Known(
            owners=owners,
            grants={pid: entry.grants for pid, entry in self._entries.items() if entry.grants},
            busy=self._ledger.sums(now),
            exclusive=exclusive,
        )
        self.blocks = prepare(fleet, self.known, self._limit)

    def _entry(self, process: Process, now: float) -> _Entry:
        known = self._entries.get(process.pid)
        if known and now - known.at < AGAIN_SECONDS + process.pid % 8:  # not all at once
            return known
        if not self.sees_host:
            return _Entry(None, (), now)
        folder = self._proc / str(process.pid)
        try:
            return _Entry(self._owner(folder), _grants(folder), now)
        except OSError:  # it has ended, or may not be looked at
            return _Entry(None, (), now)

    def _owner(self, folder: Path) -> Owner | None:
        if (folder / "comm").read_text(errors="replace").strip() == _MPS_COMM:
            return MPS_SERVER
        place = parse((folder / "cgroup").read_text(errors="replace"))
        return self._names.owner(place) if place else None


def _nameless(owner: Owner) -> bool:
    """Tell whether a pod goes by its uid, because the log folders do not name it."""
    return bool(owner.pod) and not owner.namespace


def _grants(folder: Path) -> tuple[grants.Grant, ...]:
    try:
        with (folder / "environ").open("rb") as environ:
            return grants.read(environ.read(grants.MAX_BYTES))
    except OSError:  # only root and the process's own user may
        return ()


def sees_host(proc: Path) -> bool:
    """Tell whether process ids here are the machine's own, which are those that the driver tells.

    On every Linux machine its process 2 is the kernel's, and no container has it.
    """
    try:
        return (proc / "2/comm").read_text().strip() == "kthreadd"
    except OSError:
        return False
