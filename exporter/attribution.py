"""Whose memory and time it is: each GPU's use, divided among containers and a remainder.

What is shown for the containers and the remainder add up to the memory that the device has in use,
always. Use that is not known is absent, and so part of the remainder; it is never shown as 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from exporter.exposition import Sheet, labels
from exporter.grants import Grant
from exporter.render import own_labels
from exporter.snapshot import Fleet, Gpu, Owner, Process, Snapshot
from lightmeter import catalog
from lightmeter.catalog import Metric


MPS_SERVER = Owner("", "", "mps-server")
"""Under MPS the clients' memory may stand under the server's process; whose it is, is not guessed."""
SERIES_EACH = 3


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of owners. ``owners`` and ``grants`` are by process id.

    ``busy`` holds each owner's seconds by the GPU's UUID; ``exclusive`` the owner of a whole device.
    """

    owners: Mapping[int, Owner] = field(default_factory=dict)
    grants: Mapping[int, tuple[Grant, ...]] = field(default_factory=dict)
    busy: Mapping[str, Mapping[Owner, float]] = field(default_factory=dict)
    exclusive: Mapping[str, Owner] = field(default_factory=dict)


class Share(NamedTuple):
    """A container's part of a GPU; None where it is not known."""

    owner: Owner
    used_bytes: int | None = None
    granted_bytes: int | None = None
    busy_seconds: float | None = None


class Account(NamedTuple):
    """One GPU divided. ``left_out`` counts containers for which there was no room."""

    gpu: Gpu
    shares: tuple[Share, ...]
    left_out: int = 0

    @property
    def shown_bytes(self) -> int:
        """What the containers are shown to use."""
        return sum(share.used_bytes or 0 for share in self.shares)

    def unattributed(self, used_bytes: int | None) -> int | None:
        """Tell what is left of the device's use.

        Below 0 for a moment where memory was freed between the reading of the processes and that of
        the device; to cut it off would break the sum.
        """
        return None if used_bytes is None else used_bytes - self.shown_bytes


def device(gpu: Gpu) -> str:
    """Tell the UUID of a GPU, or of a MIG instance."""
    return gpu.mig_uuid or gpu.uuid


def divide(snapshot: Snapshot, known: Known, room: int = 100_000) -> Account:
    """Divide one GPU among at most ``room`` containers, in the order of their names.

    Of several whose names are the same once they are fit for a label, the first is shown.
    """
    by_owner: dict[Owner, list[Process]] = {}
    for process in _once(snapshot.processes or ()):
        if process.pid in known.owners:
            by_owner.setdefault(known.owners[process.pid], []).append(process)
    owners = by_owner.keys() | known.busy.get(device(snapshot.gpu), {}).keys()
    if device(snapshot.gpu) in known.exclusive:
        owners |= {known.exclusive[device(snapshot.gpu)]}
    distinct = {_labels(owner): owner for owner in sorted(owners, reverse=True)}
    shown = sorted(distinct.values())[:room]
    shares = (_share(snapshot, owner, by_owner.get(owner, []), known=known) for owner in shown)
    return Account(snapshot.gpu, tuple(shares), len(owners) - len(shown))


def _once(processes: tuple[Process, ...]) -> list[Process]:
    """Count a process once that the driver lists under compute and under graphics."""
    found: dict[int, Process] = {}
    for process in processes:
        before = found.get(process.pid)
        if before is None or (before.used_bytes or 0) < (process.used_bytes or 0):
            found[process.pid] = process
    return list(found.values())


def _share(snapshot: Snapshot, owner: Owner, processes: list[Process], *, known: Known) -> Share:
    return Share(
        owner=owner,
        used_bytes=_used(snapshot, owner, processes, known=known),
        granted_bytes=_granted(snapshot, owner, processes, known=known),
        busy_seconds=known.busy.get(device(snapshot.gpu), {}).get(owner),
    )


def _used(
    snapshot: Snapshot, owner: Owner, processes: list[Process], *, known: Known
) -> int | None:
    """Add up an owner's processes; where none can be listed, all is the only holder's."""
    if snapshot.processes is None and known.exclusive.get(device(snapshot.gpu)) == owner:
        return snapshot.memory_used_bytes
    used = [process.used_bytes for process in processes]
    return None if None in used or not used else sum(filter(None, used))


def _granted(
    snapshot: Snapshot, owner: Owner, processes: list[Process], *, known: Known
) -> int | None:
    for process in processes:
        for grant in known.grants.get(process.pid, ()):
            size = grant.on(snapshot.gpu, snapshot.memory_total_bytes)
            if size is not None:
                return size
    whole = known.exclusive.get(device(snapshot.gpu)) == owner
    return snapshot.memory_total_bytes if whole else None


class Block(NamedTuple):
    """An account as the page has it: the lines of each metric, and what they add up to."""

    account: Account
    lines: tuple[tuple[Metric, str, int], ...]
    shown_bytes: int


def prepare(fleet: Fleet, known: Known, limit: int) -> dict[str, Block]:
    """Divide every GPU and write it down, up to so many series in all; by the GPU's own labels.

    This is done off the scrape's path: it costs as much as there are containers.
    """
    blocks: dict[str, Block] = {}
    for snapshot in fleet.snapshots:
        account = divide(snapshot, known, max(0, limit) // SERIES_EACH)
        limit -= SERIES_EACH * len(account.shares)
        gpu = own_labels(snapshot.gpu)
        blocks[gpu] = Block(account, tuple(_lines(gpu, account)), account.shown_bytes)
    return blocks


def _lines(gpu: str, account: Account) -> Iterator[tuple[Metric, str, int]]:
    columns = {
        catalog.POD_MEMORY_USED: "used_bytes",
        catalog.POD_MEMORY_GRANTED: "granted_bytes",
        catalog.POD_BUSY: "busy_seconds",
    }
    for metric, column in columns.items():
        lines = [
            f"{metric.name}{{{gpu},{_labels(share.owner)}}} {value!r}\n"
            for share in account.shares
            if (value := getattr(share, column)) is not None
        ]
        if lines:
            yield metric, "".join(lines), len(lines)


def write(sheet: Sheet, fleet: Fleet, blocks: Mapping[str, Block]) -> None:
    """Write who uses what on the GPUs that answer; what is not known yet is the remainder's."""
    for snapshot in fleet.snapshots:
        gpu = own_labels(snapshot.gpu)
        block = blocks.get(gpu) or Block(Account(snapshot.gpu, ()), (), 0)
        used = snapshot.memory_used_bytes
        sheet.add(
            catalog.UNATTRIBUTED_MEMORY, gpu, None if used is None else used - block.shown_bytes
        )
        sheet.dropped += SERIES_EACH * block.account.left_out
        for metric, text, count in block.lines:
            sheet.add_text(metric, text, count)


@lru_cache(maxsize=4096)
def _labels(owner: Owner) -> str:
    return labels(
        ("namespace", owner.namespace), ("pod", owner.pod), ("container", owner.container)
    )
