"""Readings from another exporter: the text that dcgm-exporter serves, asked for every second.

It adds to that text the peaks that can be seen at one look a second, the host, and who holds which
device. What the text lacks stays absent: busy seconds, coverage, XID counts, use by process.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from exporter.snapshot import Gpu, Owner, Snapshot
from lightmeter import catalog
from lightmeter.catalog import Dcgm


BLANK = 2.0**63 - 2**10
"""From here on a number is one of DCGM's codes for "no value" (dcgm_structs.h)."""
MIB = 2**20
MAX_GPUS = 4096
_LINE = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?", re.ASCII)
_LABEL = re.compile(r'\s*([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"\s*(?:,|$)', re.ASCII)
_ESCAPE = re.compile(r"\\(.)")
_FIELD = re.compile(r"DCGM_(FI|EXP)_\w+", re.ASCII)


@dataclass
class Reading:
    """What the text says of one GPU or MIG instance; ``holders`` are the containers it names."""

    gpu: Gpu
    values: dict[str, float] = field(default_factory=dict)
    holders: set[Owner] = field(default_factory=set)
    _own: set[str] = field(default_factory=set)

    def take(self, name: str, value: float, labels: Mapping[str, str]) -> None:
        """Take a sample. The device's own wins over pods' copies, and of those the highest.

        Where GPUs are shared, some of a device's copies are zeros for pods that could not be mapped.
        """
        if not labels.get("pod"):
            self._own.add(name)
            self.values[name] = value
            return
        self.holders.add(
            Owner(labels.get("namespace", ""), labels["pod"], labels.get("container", ""))
        )
        if name not in self._own:
            self.values[name] = max(value, self.values.get(name, value))


@dataclass(frozen=True)
class Text:
    """A page taken apart; ``skipped`` counts the lines that were not understood."""

    readings: Mapping[tuple[str, int | None], Reading]
    skipped: int


def parse(page: str) -> Text:
    """Read a page; lines of other metrics are passed over, malformed ones counted."""
    readings: dict[tuple[str, int | None], Reading] = {}
    skipped = 0
    for line in page.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        try:
            name, labels, value = _sample(line)
            gpu = _gpu(labels) if _FIELD.fullmatch(name) else None
        except ValueError:
            skipped += 1
            continue
        key = gpu and (gpu.uuid, gpu.instance)
        known = key in readings or len(readings) < MAX_GPUS
        if gpu and key and known and math.isfinite(value) and value < BLANK:
            reading = readings.setdefault(key, Reading(gpu))
            reading.take(catalog.DCGM_RENAMED.get(name, name), value, labels)
    return Text(readings, skipped)


def _sample(line: str) -> tuple[str, dict[str, str], float]:
    match = _LINE.fullmatch(line.strip())
    if not match:
        raise ValueError(line)
    return match[1], _labels(match[2] or ""), float(match[3])


def _labels(text: str) -> dict[str, str]:
    found, at = {}, 0
    while at < len(text):
        match = _LABEL.match(text, at)
        if not match:
            raise ValueError(text)
        found[match[1]] = _ESCAPE.sub(lambda code: "\n" if code[1] == "n" else code[1], match[2])
        at = match.end()
    return found


def _gpu(labels: Mapping[str, str]) -> Gpu:
    instance, profile = (labels.get(name, "") for name in reversed(catalog.DCGM_MIG_LABELS))
    if not labels.get("UUID"):
        raise ValueError("no UUID")
    return Gpu(
        index=int(labels.get("gpu", "")),
        uuid=labels["UUID"],
        name=labels.get("modelName", ""),
        pci_bus_id=labels.get("pci_bus_id", ""),
        driver=labels.get(catalog.DCGM_DRIVER, ""),
        profile=profile or None,
        instance=int(instance) if instance else None,
    )


class Peaks:
    """The highest value of each thing in a sliding window of seconds."""

    def __init__(self, window: float) -> None:
        self._window = window
        self._seen: dict[object, deque[tuple[float, int]]] = {}

    def add(self, what: object, value: int, now: float) -> int:
        """Add a value and tell the highest there is; values that a later one covers are dropped."""
        seen = self._seen.setdefault(what, deque())
        while seen and seen[-1][1] <= value:
            seen.pop()
        seen.append((now, value))
        while seen[0][0] < now - self._window:
            seen.popleft()
        return seen[0][1]


def snapshots(text: Text, peaks: Peaks, at: float, since: float) -> Iterator[Snapshot]:
    """Make snapshots of a page that was read at a time, Unix seconds, by us since another."""
    for key, reading in text.readings.items():
        values = reading.values
        used = _bytes(values, Dcgm.FB_USED)
        energy = values.get(Dcgm.ENERGY)
        yield Snapshot(
            gpu=reading.gpu,
            at=at,
            since=since,
            gauges=values,
            memory_used_bytes=used,
            memory_total_bytes=_bytes(values, Dcgm.FB_TOTAL) or _whole(values),
            memory_peak_bytes=None if used is None else peaks.add(key, used, at),
            energy_joules=None if energy is None else energy / 1000,
            throttle_seconds={
                reason: values[name] / 1e9
                for name, reason in catalog.DCGM_VIOLATIONS.items()
                if name in values
            },
        )


def _bytes(values: Mapping[str, float], name: str) -> int | None:
    return int(values[name] * MIB) if name in values else None


def _whole(values: Mapping[str, float]) -> int | None:
    """Add up used, free and, where it is told, reserved memory."""
    parts = [_bytes(values, name) for name in (Dcgm.FB_USED, Dcgm.FB_FREE)]
    known = [part for part in (*parts, _bytes(values, Dcgm.FB_RESERVED)) if part is not None]
    return None if None in parts else sum(known)
