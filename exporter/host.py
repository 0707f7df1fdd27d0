"""The host: CPU, memory, file systems, disks, network, load, under node_exporter's names.

Read from the kernel's own files, which are held open. psutil takes three times as long for the same
(measured 2026-11: 0.23 ms for disks and network alone on a cold cache, a quarter of what a scrape may
cost), adds reclaimable slabs to what the kernel calls Cached, and does not number offline CPUs.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path

from exporter.exposition import Sheet, labels
from exporter.mounts import Mounts
from lightmeter import catalog
from lightmeter.errors import explain


CPU_MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
"""Columns of /proc/stat, https://docs.kernel.org/filesystems/proc.html; guest time is in user."""
_TICKS = os.sysconf("SC_CLK_TCK")
_PARTS = re.compile(r"(ram|loop|fd|(h|s|v|xv)d[a-z]+|nvme\d+n\d+p)\d+")
_INNER = re.compile(r"veth.*|cali.*|[a-f0-9]{15}")
"""Ends of containers' networks: hundreds on a busy node, and nobody's dashboard."""
_CPU = re.compile(r"^cpu(\d+) +(.+)$", re.MULTILINE)
_KB = re.compile(rf"^({'|'.join(catalog.NODE_MEMORY)}): +(\d+) kB$", re.MULTILINE)
_DISK = (
    catalog.NODE_DISK_READS, catalog.NODE_DISK_READ_BYTES, catalog.NODE_DISK_READ_TIME,
    catalog.NODE_DISK_WRITES, catalog.NODE_DISK_WRITTEN_BYTES, catalog.NODE_DISK_WRITE_TIME,
    catalog.NODE_DISK_IO_TIME,
)  # fmt: skip
_labels = lru_cache(maxsize=8192)(labels)
_log = logging.getLogger(__name__)


class KeptFile:
    """A file of the kernel's that is read again and again: opening it costs more than reading it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1
        self._buffer = bytearray(262_144)

    def read(self) -> str:
        """Return its text as of now.

        Raises:
            OSError: it cannot be opened or read.
        """
        if self._fd < 0:
            self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        return self._buffer[: os.preadv(self._fd, [self._buffer], 0)].decode()

    def close(self) -> None:
        """Close it, if it was ever opened."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Host:
    """Reads one machine; ``root`` is where its file system is seen from here."""

    def __init__(self, groups: Iterable[str] = catalog.HOST_GROUPS, root: Path = Path("/")) -> None:
        self._root = root
        self._proc = root / "proc"
        self._files = {
            name: KeptFile(self._proc / name) for name in ("stat", "meminfo", "diskstats")
        }
        # a namespace's own view, and the machine's is its first process's; without a root they are one
        own = "net/dev" if root == Path("/") else "1/net/dev"
        self._files["net"] = KeptFile(self._proc / own)
        readers: dict[str, Callable[[Sheet], None]] = {
            "cpu": self._cpu,
            "memory": self._memory,
            "load": self._load,
            "filesystem": self._filesystem,
            "disk": self._disk,
            "network": self._network,
            "system": self._system,
        }
        self._readers = {group: readers[group] for group in groups}
        self._failed: set[str] = set()
        self._mounts = Mounts(root) if "filesystem" in self._readers else None

    def write(self, sheet: Sheet) -> None:
        """Write every group that is switched on; one that cannot be read is absent."""
        for group, read in self._readers.items():
            try:
                read(sheet)
            except OSError as error:
                self._complain(group, f"{error.filename} {explain(error)}")
            except (ValueError, IndexError) as error:
                self._complain(group, f"the kernel's text is not understood ({error})")

    def close(self) -> None:
        """Stop watching file systems, close files."""
        if self._mounts:
            self._mounts.close()
        for file in self._files.values():
            file.close()

    def _complain(self, group: str, why: str) -> None:
        if group not in self._failed:
            self._failed.add(group)
            _log.warning("no %s metrics: %s", group, why)

    def _cpu(self, sheet: Sheet) -> None:
        for number, times in cpu_times(self._files["stat"].read()).items():
            for joined, seconds in zip(_cpu_labels(number), times, strict=False):
                sheet.add(catalog.NODE_CPU, joined, seconds)

    def _memory(self, sheet: Sheet) -> None:
        found = meminfo(self._files["meminfo"].read())
        for key, metric in catalog.NODE_MEMORY.items():
            sheet.add(metric, "", found.get(key))

    def _load(self, sheet: Sheet) -> None:
        for metric, value in zip(catalog.NODE_LOAD, os.getloadavg(), strict=True):
            sheet.add(metric, "", value)

    def _filesystem(self, sheet: Sheet) -> None:
        for mount, space in self._mounts.look() if self._mounts else ():
            joined = _labels(
                ("device", mount.device), ("fstype", mount.kind), ("mountpoint", mount.point)
            )
            sheet.add(catalog.NODE_FILESYSTEM_ERROR, joined, int(space is None))
            if space:
                sheet.add(catalog.NODE_FILESYSTEM_SIZE, joined, space.size)
                sheet.add(catalog.NODE_FILESYSTEM_FREE, joined, space.free)
                sheet.add(catalog.NODE_FILESYSTEM_AVAIL, joined, space.avail)

    def _disk(self, sheet: Sheet) -> None:
        for name, values in diskstats(self._files["diskstats"].read()).items():
            joined = _labels(("device", name))
            for metric, value in zip(_DISK, values, strict=True):
                sheet.add(metric, joined, value)

    def _network(self, sheet: Sheet) -> None:
        for name, (received, sent) in netdev(self._files["net"].read()).items():
            joined = _labels(("device", name))
            sheet.add(catalog.NODE_NETWORK_RECEIVE, joined, received)
            sheet.add(catalog.NODE_NETWORK_TRANSMIT, joined, sent)

    def _system(self, sheet: Sheet) -> None:
        sheet.add(catalog.NODE_TIME, "", time.time())
        sheet.add(catalog.NODE_BOOT_TIME, "", boot_time(self._proc))
        sheet.add(catalog.NODE_UNAME, _uname(self._proc), 1)


@lru_cache(maxsize=4096)
def _cpu_labels(number: str) -> list[str]:
    return [labels(("cpu", number), ("mode", mode)) for mode in CPU_MODES]


def cpu_times(stat: str) -> dict[str, list[float]]:
    """Read each CPU's seconds in `CPU_MODES` from /proc/stat, by the CPU's number."""
    return {
        number: [int(ticks) / _TICKS for ticks in columns.split()[: len(CPU_MODES)]]
        for number, columns in _CPU.findall(stat)
    }


def meminfo(text: str) -> dict[str, int]:
    """Read bytes by the kernel's name, as far as the catalogue has it, from /proc/meminfo.

    Its kB are 1024 bytes.
    """
    return {name: int(number) * 1024 for name, number in _KB.findall(text)}


def diskstats(text: str) -> dict[str, tuple[float, ...]]:
    """Read what `_DISK` names from /proc/diskstats, by device: times in ms, sectors of 512 bytes.

    https://docs.kernel.org/admin-guide/iostats.html
    """
    rows = (line.split() for line in text.splitlines())
    return {
        row[2]: (
            int(row[3]), int(row[5]) * 512, int(row[6]) / 1000,
            int(row[7]), int(row[9]) * 512, int(row[10]) / 1000, int(row[12]) / 1000,
        )
        for row in rows
        if not _PARTS.fullmatch(row[2])
    }  # fmt: skip


def netdev(text: str) -> dict[str, tuple[int, int]]:
    """Read bytes received and sent from /proc/net/dev, by interface."""
    rows = (line.rpartition(":") for line in text.splitlines()[2:])
    found = {name.strip(): numbers.split() for name, _, numbers in rows}
    return {
        name: (int(row[0]), int(row[8]))
        for name, row in found.items()
        if not _INNER.fullmatch(name)
    }


@lru_cache(maxsize=8)
def boot_time(proc: Path) -> int | None:
    """Read when the machine was started, Unix seconds."""
    found = re.search(r"^btime (\d+)$", (proc / "stat").read_text(), flags=re.MULTILINE)
    return int(found[1]) if found else None


@lru_cache(maxsize=8)
def _uname(proc: Path) -> str:
    name = os.uname()
    domain = proc / "sys/kernel/domainname"
    return labels(
        ("domainname", domain.read_text().strip() if domain.exists() else "(none)"),
        ("machine", name.machine),
        ("nodename", name.nodename),
        ("release", name.release),
        ("sysname", name.sysname),
        ("version", name.version),
    )
