"""What is known of one GPU at one moment: what samplers send, and what the page is rendered from.

None, or a name that is missing from a mapping, means that the device cannot tell; never 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """Which GPU it is. The last three are set for a MIG instance only; its ``uuid`` is its GPU's."""

    index: int
    uuid: str
    name: str
    pci_bus_id: str
    driver: str
    profile: str | None = None
    instance: int | None = None
    mig_uuid: str | None = None


@dataclass(frozen=True, kw_only=True)
class Process:
    """One process on a GPU. ``pid`` is the host's; ``busy_seconds`` counts since it was first seen."""

    pid: int
    used_bytes: int | None
    busy_seconds: float | None


@dataclass(frozen=True, kw_only=True)
class Xid:
    """XID errors of one number: how many, and when the last came (Unix seconds)."""

    number: int
    count: int
    last_at: float


class Owner(NamedTuple):
    """Whose memory and time it is, as labels say it."""

    namespace: str
    pod: str
    container: str


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """One GPU's readings. ``at`` is Unix seconds; counters count since ``since``.

    ``gauges`` maps a DCGM field name to its value in DCGM's own unit. Memory is bytes, ``used``
    without what the driver reserves (NVML's memory v2).
    """

    gpu: Gpu
    at: float
    since: float
    gauges: Mapping[str, float] = field(default_factory=dict)
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None
    memory_peak_bytes: int | None = None
    """Highest use in the sliding window."""
    busy_seconds: float | None = None
    sampled_seconds: float | None = None
    sm_active_seconds: float | None = None
    energy_joules: float | None = None
    throttle_seconds: Mapping[str, float] = field(default_factory=dict)
    xids: tuple[Xid, ...] = ()
    processes: tuple[Process, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Health:
    """Whether a GPU answers; ``reason`` is one of the catalogue's, ``ok`` where it does."""

    index: int | None
    """None for the one entry that stands for the machine where no GPU was ever seen."""
    uuid: str | None
    up: bool
    reason: str
    age_seconds: float | None
    """Age of the newest sample; None where there never was one."""
    detail: str = ""
    """The driver's own words, for the log."""


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """Everything that a page is rendered from. ``snapshots`` holds fresh ones only.

    Where MIG is on, a GPU's memory and activity stand in its instances' snapshots, the rest in a
    snapshot of its own: no name is there twice for the same thing.
    """

    snapshots: tuple[Snapshot, ...]
    health: tuple[Health, ...]
    expected: int | None
    """GPUs that there should be: the most ever seen, or as configured."""
    source: str
    """Where the readings come from: ``nvml``, ``demo``, ``replay`` or ``dcgm``."""
    peak_window_seconds: float = 60.0
    """Over which `Snapshot.memory_peak_bytes` is the highest."""


class Source(Protocol):
    """Something that knows the GPUs. It works by itself from its making until it is closed."""

    def fleet(self) -> Fleet:
        """Tell what is known now; never waits for a device."""
        ...

    def close(self) -> None:
        """End what works behind it; nothing happens the second time."""
        ...
