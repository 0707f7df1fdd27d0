"""The host: CPU, memory, file systems, disks, network, load, under node_exporter's names.

psutil where it says what node_exporter says; the kernel's own files where it does not: psutil adds
reclaimable slabs to what the kernel calls Cached, and does not number CPUs that are offline.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path

import psutil

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
_labels = lru_cache(maxsize=8192)(labels)
_log = logging.getLogger(__name__)


class Host:
    """Reads one machine; ``root`` is where its file system is seen from here."""

    def __init__(self, groups: Iterable[str] = catalog.HOST_GROUPS, root: Path = Path("/")) -> None:
        self._root = root
        self._proc = root / "proc"
        psutil.PROCFS_PATH = str(self._proc)
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
                self._complain(group, error)

    def close(self) -> None:
        """Stop watching file systems."""
        if self._mounts:
            self._mounts.close()

    def _complain(self, group: str, error: OSError) -> None:
        if group not in self._failed:
            self._failed.add(group)
            _log.warning("no %s metrics: %s %s", group, error.filename, explain(error))

    def _cpu(self, sheet: Sheet) -> None:
        for number, times in cpu_times((self._proc / "stat").read_text()).items():
            for mode, seconds in zip(CPU_MODES, times, strict=False):
                sheet.add(catalog.NODE_CPU, _labels(("cpu", number), ("mode", mode)), seconds)

    def _memory(self, sheet: Sheet) -> None:
        found = meminfo((self._proc / "meminfo").read_text())
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
        for name, seen in psutil.disk_io_counters(perdisk=True, nowrap=False).items():
            if _PARTS.fullmatch(name):
                continue
            joined = _labels(("device", name))
            sheet.add(catalog.NODE_DISK_READS, joined, seen.read_count)
            sheet.add(catalog.NODE_DISK_READ_BYTES, joined, seen.read_bytes)
            sheet.add(catalog.NODE_DISK_READ_TIME, joined, seen.read_time / 1000)
            sheet.add(catalog.NODE_DISK_WRITES, joined, seen.write_count)
            sheet.add(catalog.NODE_DISK_WRITTEN_BYTES, joined, seen.write_bytes)
            sheet.add(catalog.NODE_DISK_WRITE_TIME, joined, seen.write_time / 1000)
            sheet.add(catalog.NODE_DISK_IO_TIME, joined, seen.busy_time / 1000)

    def _network(self, sheet: Sheet) -> None:
        for name, seen in psutil.net_io_counters(pernic=True, nowrap=False).items():
            if not _INNER.fullmatch(name):
                joined = _labels(("device", name))
                sheet.add(catalog.NODE_NETWORK_RECEIVE, joined, seen.bytes_recv)
                sheet.add(catalog.NODE_NETWORK_TRANSMIT, joined, seen.bytes_sent)

    def _system(self, sheet: Sheet) -> None:
        sheet.add(catalog.NODE_BOOT_TIME, "", boot_time(self._proc))
        sheet.add(catalog.NODE_UNAME, _uname(self._proc), 1)


def cpu_times(stat: str) -> Mapping[str, list[float]]:
    """Read each CPU's seconds in `CPU_MODES` from /proc/stat, by the CPU's number."""
    rows = (line.split() for line in stat.splitlines() if re.match(r"cpu\d", line))
    return {
        row[0].removeprefix("cpu"): [int(ticks) / _TICKS for ticks in row[1 : 1 + len(CPU_MODES)]]
        for row in rows
    }


def meminfo(text: str) -> dict[str, int]:
    """Read bytes by the kernel's name from /proc/meminfo, whose kB are 1024 bytes."""
    rows = (line.replace(":", " ").split() for line in text.splitlines())
    return {row[0]: int(row[1]) * 1024 for row in rows if len(row) > 2}  # noqa: PLR2004  (name, number, unit)


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
