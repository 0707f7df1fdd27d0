"""The real command in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Ran:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    def refusal(self, code: int = 2) -> str:
        """Return the one line that a refused command leaves, and nothing beside it."""
        lines = self.err.splitlines()
        assert [code] == [self.code], self.err
        assert len(lines) == 1, self.err
        assert lines[0].startswith("lightmeter: ")
        assert not self.out
        return lines[0].removeprefix("lightmeter: ")


def clean_environment(**variables: str) -> dict[str, str]:
    """Return this process's environment without variables that we heed, and with those given."""
    heeded = ("LIGHTMETER_", "OTEL_")
    kept = {name: text for name, text in os.environ.items() if not name.startswith(heeded)}
    return kept | {"COLUMNS": "100"} | variables


def lightmeter(*arguments: str | Path, cwd: Path, **variables: str) -> Ran:
    """Run ``lightmeter`` to its end in a folder, with no setting but the variables given."""
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "lightmeter.cli", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        cwd=cwd,
        env=clean_environment(**variables),
        text=True,
        timeout=60,
    )
    return Ran(ended.returncode, ended.stdout, ended.stderr)


def python(code: str, *arguments: str | Path, cwd: Path | None = None) -> Ran:
    """Run a few lines of Python in a fresh interpreter, with the arguments in ``sys.argv[1:]``."""
    ended = subprocess.run(
        [sys.executable, "-P", "-c", code, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        cwd=cwd,
        env=clean_environment(),
        text=True,
        timeout=60,
    )
    return Ran(ended.returncode, ended.stdout, ended.stderr)


def inside(*arguments: str | Path) -> int:
    """Run ``lightmeter`` in this process, which is quicker; return its exit code."""
    from lightmeter import cli

    try:
        cli.main([str(argument) for argument in arguments])
    except SystemExit as ended:
        return int(ended.code or 0)
