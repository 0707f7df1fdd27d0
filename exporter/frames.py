"""Readings as JSON: between processes, and in recordings. Standard library only, and quick."""

from __future__ import annotations

import json
from typing import Any

from exporter.snapshot import Fleet, Gpu, Health, Process, Snapshot, Xid


Json = dict[str, Any]
_encode = json.JSONEncoder(separators=(",", ":")).encode


def dumps(value: Json) -> bytes:
    """Write one frame."""
    return _encode(value).encode()


def loads(frame: bytes | str) -> Json:
    """Read one frame.

    Raises:
        ValueError: it is no JSON object.
    """
    value = json.loads(frame)
    if not isinstance(value, dict):
        raise ValueError("not an object")  # noqa: TRY004  (one kind of error for a bad frame)
    return value


def from_snapshot(snapshot: Snapshot) -> Json:
    """Turn a snapshot into plain values."""
    return {
        **vars(snapshot),
        "gpu": vars(snapshot.gpu),
        "xids": [vars(xid) for xid in snapshot.xids],
        "processes": None
        if snapshot.processes is None
        else [vars(process) for process in snapshot.processes],
    }


def to_snapshot(plain: Json) -> Snapshot:
    """Turn plain values back into a snapshot.

    Raises:
        KeyError, TypeError: they are not those of a snapshot.
    """
    processes = plain["processes"]
    fields = {
        **plain,
        "gpu": Gpu(**plain["gpu"]),
        "xids": tuple(Xid(**xid) for xid in plain["xids"]),
        "processes": None if processes is None else tuple(Process(**one) for one in processes),
    }
    return Snapshot(**fields)


def from_fleet(fleet: Fleet) -> Json:
    """Turn a fleet into plain values."""
    return {
        **vars(fleet),
        "snapshots": [from_snapshot(snapshot) for snapshot in fleet.snapshots],
        "health": [vars(health) for health in fleet.health],
    }


def to_fleet(plain: Json) -> Fleet:
    """Turn plain values back into a fleet.

    Raises:
        KeyError, TypeError: they are not those of a fleet.
    """
    fields = {
        **plain,
        "snapshots": tuple(to_snapshot(snapshot) for snapshot in plain["snapshots"]),
        "health": tuple(Health(**health) for health in plain["health"]),
    }
    return Fleet(**fields)
