"""What this machine has and lacks, with the fix for each. Rooms supply checks of their own."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path

from lightmeter.units import show_bytes


ROOMS = ("inference", "exporter", "alerts", "dashboards", "planner", "lightmeter")
MIN_FREE_BYTES = 2 * 1024**3


class Verdict(StrEnum):
    """What a check says; only ``fail`` makes the doctor say no."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """One thing looked at: what was found, and what to do where it is not well."""

    what: str
    verdict: Verdict
    found: str
    fix: str = ""


Check = Callable[[], Finding]


def ground_checks(data: Path, ports: dict[str, int]) -> list[Check]:
    """List the checks that belong to no room."""
    return [
        check_python,
        check_names,
        lambda: check_disk(data),
        *(
            lambda option=option, port=port: check_port(option, port)
            for option, port in ports.items()
        ),
    ]


def check_python() -> Finding:
    """Look at the interpreter's version."""
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] == (3, 11):
        return Finding("Python", Verdict.OK, found)
    return Finding(
        "Python",
        Verdict.WARN,
        found,
        "lightmeter is tested on 3.11; make the environment with python3.11",
    )


def check_names() -> Finding:
    """Look for another distribution that has landed on the name of one of our rooms."""
    home = Path(__file__).resolve().parents[1]
    owners = metadata.packages_distributions()
    clashes = []
    for room in ROOMS:
        others = sorted(set(owners.get(room, ())) - {"lightmeter"})
        spec = importlib.util.find_spec(room)
        places = [
            Path(place).resolve() for place in (spec and spec.submodule_search_locations) or ()
        ]
        if others or places != [home / room]:
            clashes.append(f"{room} ({', '.join(others) or 'found elsewhere'})")
    if not clashes:
        return Finding("room names", Verdict.OK, "no other distribution uses them")
    fix = "give lightmeter a virtual environment of its own (make env)"
    return Finding("room names", Verdict.FAIL, f"taken: {', '.join(clashes)}", fix)


def check_disk(data: Path) -> Finding:
    """Look at the free space where the data folder is or would be."""
    place = next(
        folder for folder in (data.absolute(), *data.absolute().parents) if folder.exists()
    )
    free = shutil.disk_usage(place).free
    found = f"{show_bytes(free)} free at {place}"
    if free >= MIN_FREE_BYTES:
        return Finding("disk", Verdict.OK, found)
    return Finding(
        "disk",
        Verdict.WARN,
        found,
        f"free {show_bytes(MIN_FREE_BYTES)}, or name another folder with --data",
    )


def check_port(option: str, port: int) -> Finding:
    """Look whether the port that an option would take is free on loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            fix = f"stop the other program or give another {option}; 'lightmeter up' finds a free one itself"
            return Finding(f"port {port}", Verdict.WARN, f"taken, and {option} would use it", fix)
    return Finding(f"port {port}", Verdict.OK, f"free, for {option}")


def examine(checks: Iterable[Check]) -> list[Finding]:
    """Run the checks in order."""
    return [check() for check in checks]


def healthy(findings: Iterable[Finding]) -> bool:
    """Tell whether no check failed."""
    return all(finding.verdict is not Verdict.FAIL for finding in findings)
