"""What the kernel's files about the machine say: text in, numbers by name out.

https://docs.kernel.org/filesystems/proc.html
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from lightmeter import catalog


CPU_MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
"""Columns of /proc/stat; guest time is in user."""
_TICKS = os.sysconf("SC_CLK_TCK")
_PARTS = re.compile(r"(ram|loop|fd|(h|s|v|xv)d[a-z]+|nvme\d+n\d+p)\d+")
_INNER = re.compile(r"veth.*|cali.*|[a-f0-9]{15}")
"""Ends of containers' networks: hundreds on a busy node, and nobody's dashboard."""
_CPU = re.compile(r"^cpu(\d+) +(.+)$", re.MULTILINE)
_PRESSURE = re.compile(r"^(some|full) .*total=(\d+)$", re.MULTILINE)


def cpu_times(stat: str) -> dict[str, list[float]]:
    """Read each CPU's seconds in `CPU_MODES` from /proc/stat, by the CPU's number."""
    return {
        number: [int(ticks) / _TICKS for ticks in columns.split()[: len(CPU_MODES)]]
        for number, columns in _CPU.findall(stat)
    }


def counts(text: str, names: Iterable[str]) -> dict[str, int]:
    """Read the first number after each of these names, from files with one name to a line."""
    rows = (line.split(maxsplit=2) for line in text.splitlines())
    found = {row[0]: row[1] for row in rows if len(row) > 1}
    return {name: int(found[name]) for name in names if name in found}


def meminfo(text: str) -> dict[str, int]:
    """Read /proc/meminfo, as far as the catalogue has it: bytes, or pages where it says no unit.

    Its kB are 1024 bytes.
    """
    rows = (line.partition(":") for line in text.splitlines())
    return {
        name: int(number.removesuffix("kB")) * (1024 if number.endswith("kB") else 1)
        for name, _, number in rows
        if name in catalog.NODE_MEMORY
    }


def pressure(text: str) -> dict[str, float]:
    """Read seconds since the start by line (some, full), from a file of /proc/pressure, in µs."""
    return {line: int(total) / 1e6 for line, total in _PRESSURE.findall(text)}


def diskstats(text: str) -> dict[str, tuple[float, ...]]:
    """Read what `catalog.NODE_DISK` names from /proc/diskstats, by device.

    Times are in ms there, sectors have 512 bytes: https://docs.kernel.org/admin-guide/iostats.html
    """
    rows = (line.split() for line in text.splitlines())
    return {row[2]: _disk(*map(int, row[3:14])) for row in rows if not _PARTS.fullmatch(row[2])}


def _disk(reads: int, merged: int, sectors: int, took: int, *more: int) -> tuple[float, ...]:
    writes, written_merged, written_sectors, wrote, now, busy, weighted = more
    return (
        reads, merged, sectors * 512, took / 1000,
        writes, written_merged, written_sectors * 512, wrote / 1000,
        now, busy / 1000, weighted / 1000,
    )  # fmt: skip


def netdev(text: str) -> dict[str, tuple[int, ...]]:
    """Read what `catalog.NODE_NETWORK` names from /proc/net/dev, by interface."""
    rows = (line.rpartition(":") for line in text.splitlines()[2:])
    found = ((name.strip(), numbers) for name, _, numbers in rows)
    return {
        name: tuple(map(int, numbers.split()))
        for name, numbers in found
        if not _INNER.fullmatch(name)
    }
