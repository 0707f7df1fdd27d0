"""What the benchmarks share: the machine, the clock, the table, the verdict."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any


ROOT = Path(__file__).resolve().parents[1]
LIGHTMETER = str(Path(sys.executable).with_name("lightmeter"))


def arguments(description: str | None) -> argparse.Namespace:
    """Read the command line that every benchmark has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser.parse_args()


def machine(*libraries: str) -> dict[str, Any]:
    """Say where and when this ran, and with what."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": len(os.sched_getaffinity(0)),
        "processor": _processor(),
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in libraries},
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def support() -> None:
    """Make the helpers of the tests importable."""
    sys.path.insert(0, str(ROOT / "tests"))


def run(*command: str | Path) -> tuple[float, str]:
    """Run a command without our settings in its environment; return wall seconds and stdout.

    Raises:
        SystemExit: it failed.
    """
    kept = {name: text for name, text in os.environ.items() if not name.startswith("LIGHTMETER_")}
    begin = time.perf_counter()
    ended = subprocess.run(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        env=kept,
        text=True,
    )
    seconds = time.perf_counter() - begin
    if ended.returncode:
        raise SystemExit(f"{command[0]} ended with {ended.returncode}: {ended.stderr.strip()}")
    return seconds, ended.stdout


def finish(
    args: argparse.Namespace,
    about: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    failures: Sequence[str],
) -> None:
    """Print the machine, the table and the verdict, and end with 1 where a limit is missed."""
    if args.json:
        print(json.dumps({**about, "results": rows, "failures": failures}, indent=2))
    else:
        print(", ".join(f"{name} {value}" for name, value in about.items()))
        print(f"\n| {' | '.join(rows[0])} |\n|{'|'.join(['---'] * len(rows[0]))}|")
        for row in rows:
            print(f"| {' | '.join(_shown(value) for value in row.values())} |")
        print("\n" + "\n".join(f"MISSED: {line}" for line in failures) if failures else "\nok")
    raise SystemExit(1 if failures else 0)


def _shown(value: Any) -> str:
    return f"{value:,.4g}" if isinstance(value, float) and abs(value) < 1000 else (
        f"{value:,.0f}" if isinstance(value, float) else str(value)
    )  # fmt: skip
