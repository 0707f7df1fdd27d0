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
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path

from exporter.exposition import Sheet, labels
from exporter.hostfiles import (
    CPU_MODES,
    counts,
    cpu_times,
    diskstats,
    meminfo,
    netdev,
    pressure,
)
from exporter.mounts import Mounts
from lightmeter import catalog
from lightmeter.catalog import Metric
from lightmeter.errors import explain


_PRESSURE = {f"pressure/{name}": name for name in ("cpu", "io", "memory")}
_PART_BYTES = 32_768
_labels = lru_cache(maxsize=8192)(labels)
_log = logging.getLogger(__name__)


class KeptFile:
    """A file of the kernel's that is read again and again: opening it costs more than reading it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1

    def read(self) -> str:
        """Return its text as of now.

        The kernel gives a page of a list at a time, however much is asked for.

        Raises:
            OSError: it cannot be opened or read.
        """
        if self._fd < 0:
            self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        text = bytearray()
        while part := os.pread(self._fd, _PART_BYTES, len(text)):
            text += part
        return text.decode()

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
            name: KeptFile(self._proc / name)
            for name in ("stat", "meminfo", "diskstats", "vmstat", "sys/fs/file-nr", *_PRESSURE)
        }
        # a namespace's own view, and the machine's is its first process's; without a root they are one
        own = "net/dev" if root == Path("/") else "1/net/dev"
        self._files["net"] = KeptFile(self._proc / own)
        readers: dict[str, Callable[[Sheet], None]] = {
            "cpu": self._cpu,
            "memory": self._memory,
            "load": self._load,
            "pressure": self._pressure,
            "vmstat": self._vmstat,
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
        text = self._files["stat"].read()
        for number, times in cpu_times(text).items():
            for joined, seconds in zip(_cpu_labels(number), times, strict=False):
                sheet.add(catalog.NODE_CPU, joined, seconds)
        _add_all(sheet, catalog.NODE_STAT, counts(text, catalog.NODE_STAT))

    def _memory(self, sheet: Sheet) -> None:
        _add_all(sheet, catalog.NODE_MEMORY, meminfo(self._files["meminfo"].read()))

    def _pressure(self, sheet: Sheet) -> None:
        found = {name: pressure(self._files[path].read()) for path, name in _PRESSURE.items()}
        for (name, line), metric in catalog.NODE_PRESSURE.items():
            sheet.add(metric, "", found[name].get(line))

    def _vmstat(self, sheet: Sheet) -> None:
        text = self._files["vmstat"].read()
        _add_all(sheet, catalog.NODE_VMSTAT, counts(text, catalog.NODE_VMSTAT))

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
                sheet.add(catalog.NODE_FILESYSTEM_FILES, joined, space.files)
                sheet.add(catalog.NODE_FILESYSTEM_FILES_FREE, joined, space.files_free)
                sheet.add(catalog.NODE_FILESYSTEM_READONLY, joined, int(space.readonly))

    def _disk(self, sheet: Sheet) -> None:
        _add_rows(sheet, catalog.NODE_DISK, diskstats(self._files["diskstats"].read()))

    def _network(self, sheet: Sheet) -> None:
        _add_rows(sheet, catalog.NODE_NETWORK, netdev(self._files["net"].read()))

    def _system(self, sheet: Sheet) -> None:
        sheet.add(catalog.NODE_TIME, "", time.time())
        sheet.add(catalog.NODE_BOOT_TIME, "", boot_time(self._proc))
        sheet.add(catalog.NODE_UNAME, _uname(self._proc), 1)
        allocated, _, most = self._files["sys/fs/file-nr"].read().split()
        for metric, value in zip(catalog.NODE_FILES, (allocated, most), strict=True):
            sheet.add(metric, "", int(value))


def _add_all(sheet: Sheet, metrics: Mapping[str, Metric], found: Mapping[str, float]) -> None:
    for key, metric in metrics.items():
        sheet.add(metric, "", found.get(key))


def _add_rows(
    sheet: Sheet, metrics: Iterable[Metric], rows: Mapping[str, tuple[float, ...]]
) -> None:
    for device, values in rows.items():
        joined = _labels(("device", device))
        for metric, value in zip(metrics, values, strict=True):
            sheet.add(metric, joined, value)


@lru_cache(maxsize=4096)
def _cpu_labels(number: str) -> list[str]:
    return [labels(("cpu", number), ("mode", mode)) for mode in CPU_MODES]


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
