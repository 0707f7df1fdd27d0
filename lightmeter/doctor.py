"""What this machine has and lacks, with the fix for each. Rooms supply checks of their own."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path


ROOMS = ("inference", "exporter", "alerts", "dashboards", "planner", "lightmeter")
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_EXTRA = re.compile(r"""extra == ['"]([\w-]+)['"]""")


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


def ground_checks() -> list[Check]:
    """List the checks of the installation, which belong to no room."""
    return [check_python, check_names, check_extras]


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


def check_extras() -> Finding:
    """Say which optional parts are installed, and how to have the others."""
    needed = extras(metadata.requires("lightmeter") or ())
    have = [name for name, wanted in needed.items() if all(map(_installed, wanted))]
    lacking = [name for name in needed if name not in have]
    found = f"installed: {', '.join(have) or 'none'}"
    if not lacking:
        return Finding("extras", Verdict.OK, found)
    fix = f"only where they are wanted: pip install 'lightmeter[{','.join(lacking)}]'"
    return Finding("extras", Verdict.OK, f"{found}; not installed: {', '.join(lacking)}", fix)


def extras(requirements: Iterable[str]) -> dict[str, list[str]]:
    """Map each optional part to the distributions that it needs."""
    found: dict[str, list[str]] = {}
    for text in requirements:
        name, extra = _NAME.match(text), _EXTRA.search(text)
        if name and extra:
            found.setdefault(extra[1], []).append(name[0])
    return found


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def examine(checks: Iterable[Check]) -> list[Finding]:
    """Run the checks in order."""
    return [check() for check in checks]


def healthy(findings: Iterable[Finding]) -> bool:
    """Tell whether no check failed."""
    return all(finding.verdict is not Verdict.FAIL for finding in findings)
