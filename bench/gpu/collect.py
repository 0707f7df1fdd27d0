"""Collect the wheels that `bench/gpu/run --wheels` installs where nothing can be fetched.

What lightmeter needs at run time, in the versions of constraints.txt; never torch, which is there.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from bench import common


GLIBC = (17, 24, 26, 27, 28, 31, 34)
"""Minor versions of glibc 2 that wheels are built for; pip wants each by name."""
_NEVER = {"torch"}
"""There already, in the build for the card; and so is what torch alone needs."""


def main(words: Sequence[str] | None = None) -> int:
    """Download them, and say what they weigh."""
    options = _options(words)
    have = _names(options.have.read_text(encoding="utf-8")) if options.have else set()
    pins = _pins()
    project = tomllib.loads((common.ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = sorted(pins[name] for name in needed(project["project"]["dependencies"]) - have)
    if options.dry_run:
        print("\n".join(wanted))
        return 0
    options.folder.mkdir(parents=True, exist_ok=True)
    ended = subprocess.run([*_command(options), *wanted], check=False).returncode
    wheels = list(options.folder.glob("*.whl"))
    size = sum(wheel.stat().st_size for wheel in wheels)
    print(f"{len(wheels)} wheels, {size / 2**20:.1f} MiB, in {options.folder}")
    return ended


def _options(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/gpu/wheels", description=__doc__)
    parser.add_argument("folder", type=Path, help="where to")
    parser.add_argument("--python", default=f"{sys.version_info[0]}.{sys.version_info[1]}", help="version of Python there (default: %(default)s)")  # fmt: skip
    parser.add_argument("--machine", default="x86_64", help="kind of processor there (default: %(default)s)")  # fmt: skip
    parser.add_argument("--have", type=Path, metavar="FILE", help="what is there already, a name on each line, as pip freeze writes it")  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="only say what would be fetched")
    return parser.parse_args(words)


def _command(options: argparse.Namespace) -> list[str]:
    platforms = [f"manylinux_2_{minor}_{options.machine}" for minor in GLIBC]
    platforms += [f"manylinux{name}_{options.machine}" for name in ("1", "2010", "2014")]
    return [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
        "--only-binary=:all:", "--implementation", "cp", "--python-version", options.python,
        *(word for platform in platforms for word in ("--platform", platform)),
        "--dest", str(options.folder),
    ]  # fmt: skip


def needed(requirements: Iterable[str]) -> set[str]:
    """Name what meets some requirements, and what that needs; torch and its own are left out."""
    found: set[str] = set()
    ahead = list(requirements)
    while ahead:
        requirement = Requirement(ahead.pop())
        name = canonicalize_name(requirement.name)
        wanted = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if wanted and name not in found | _NEVER:
            found.add(name)
            ahead += metadata.requires(name) or ()
    return found


def _pins() -> dict[str, str]:
    """Read the exact versions, by name."""
    lines = (common.ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return {canonicalize_name(line.partition("==")[0]): line for line in lines if "==" in line}


def _names(text: str) -> set[str]:
    return set(map(canonicalize_name, _first_words(text.splitlines())))


def _first_words(lines: Iterable[str]) -> Iterable[str]:
    for line in lines:
        if found := re.match(r"\s*([A-Za-z0-9][\w.-]*)", line):
            yield found.group(1)


if __name__ == "__main__":
    sys.exit(main())
