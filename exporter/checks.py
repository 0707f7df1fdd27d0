"""What the exporter room needs of this machine."""

from __future__ import annotations

from exporter import nvml
from lightmeter.doctor import Check, Finding, Verdict


def checks() -> list[Check]:
    """List this room's checks."""
    return [check_driver]


def check_driver() -> Finding:
    """Ask the NVIDIA driver for its version and GPUs."""
    seen = nvml.look()
    if seen.reason:
        return Finding(
            "NVIDIA driver",
            Verdict.WARN,
            seen.reason,
            "without a GPU this is as it should be; with one, install the NVIDIA driver",
        )
    return Finding(
        "NVIDIA driver", Verdict.OK, f"{seen.driver}: {', '.join(seen.names) or 'no GPU'}"
    )
