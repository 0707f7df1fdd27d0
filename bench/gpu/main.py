"""Measure on a GPU what can be measured in the time there is: docs/gpu.md.

Rows come in order of value. Each is in the results file as soon as it is measured; measured ones are
passed over when this runs again on the same card, so that a cut costs one row.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from bench import common
from bench.gpu import page
from bench.gpu.place import in_memory
from bench.gpu.results import MEASURED, Entry, Results
from bench.gpu.runner import Runner
from bench.gpu.table import BY_NAME, ROWS, Row
from exporter import nvml


HERE = Path(__file__).parent
BUDGET = 585.0
"""Seconds; ten minutes, less what it takes to end."""
_LIBRARIES = ("torch", "diffusers", "transformers", "accelerate", "numpy")
_PATIENCE = 3.0
"""A row is cut off after so many times its estimate."""


def main(words: Sequence[str] | None = None) -> int:
    """Measure; exit code 1 where a row that was asked for is not measured."""
    options = _options(words)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    out = options.out or (HERE if options.device == "cuda" else common.ROOT / "build" / "gpu-cpu")
    results = Results(out / "results.json")
    rows = [row for row in ROWS if not options.only or row.name in options.only]
    deadline = time.monotonic() + options.budget - (time.time() - options.began)
    machine = _machine(options.device)
    lacking = "" if options.device == "cpu" else _lacking()
    print(", ".join(f"{name} {value}" for name, value in machine.items()), flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="lightmeter-gpu-") as work,
        contextlib.ExitStack() as after,
        Runner(options.device, Path(work), out / "run.log") as runner,
    ):
        after.callback(shutil.rmtree, in_memory(Path(work)), ignore_errors=True)
        for row in rows:
            if lacking and not results.measured_on(row.name):
                results.wait(row.name, lacking)
            elif not lacking:
                _one(row, results, runner, machine, deadline=deadline, again=options.again)
    print(*(f"{row.name}: {page.status(results.rows[row.name])}" for row in rows), sep="\n")
    return 0 if all(results.measured_on(row.name) for row in rows) else 1


def _options(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench/gpu/run",
        description=__doc__,
        epilog=f"Rows: {', '.join(BY_NAME)}. --wheels DIR installs from a folder what this Python lacks.",
    )
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu tries the way out, with the tiny model")  # fmt: skip
    parser.add_argument("--out", type=Path, help="folder of results.json and run.log (default: this one; for cpu build/gpu-cpu)")  # fmt: skip
    parser.add_argument("--budget", type=float, default=BUDGET, metavar="SECONDS", help="time there is (default: %(default)s)")  # fmt: skip
    parser.add_argument("--only", type=_names, metavar="ROW,...", help="measure these rows")
    parser.add_argument("--again", action="store_true", help="measure measured rows, too")
    parser.add_argument("--began", type=float, default=time.time(), help=argparse.SUPPRESS)
    return parser.parse_args(words)


def _names(text: str) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in BY_NAME]
    if unknown:
        raise argparse.ArgumentTypeError(f"no row is named {', '.join(unknown)}")
    return names


def _machine(device: str) -> Entry:
    """Say what this is measured on, without loading torch."""
    seen = nvml.look() if device == "cuda" else nvml.Seen()
    card = "CPU" if device == "cpu" else (seen.names[0] if seen.names else "unknown")
    driver = {"driver": seen.driver} if seen.driver else {}
    return {"card": card, **driver, **common.machine(*(_there(*_LIBRARIES)))}


def _lacking() -> str:
    """Say why nothing can be measured at all; "" where something can."""
    return "" if nvml.look().names else "there was no NVIDIA GPU where this ran last"


def _there(*libraries: str) -> list[str]:
    found = {str(one.metadata["Name"]).lower() for one in metadata.distributions()}
    return [name for name in libraries if name in found]


def _one(
    row: Row, results: Results, runner: Runner, machine: Entry, *, deadline: float, again: bool
) -> None:
    """Measure a row, or say why not."""
    if results.measured_on(row.name) == machine["card"] and not again:
        _tell(row, "measured before")
        return
    left = deadline - time.monotonic()
    if reason := _obstacle(row, left, on_cpu=machine["card"] == "CPU"):
        results.wait(row.name, reason)
        _tell(row, f"waiting: {reason}")
        return
    entry = results.begin(machine, datetime.now(UTC).isoformat(timespec="seconds"))
    results.put(row.name, entry)
    began = time.monotonic()
    for told in runner.measure(row, min(left, row.seconds * _PATIENCE)):
        _take(entry, told)
        entry["seconds"] = round(time.monotonic() - began, 1)
        results.put(row.name, entry)
    reason = "" if entry["status"] == MEASURED else f": {entry['reason']}"
    _tell(row, f"{entry['status']}{reason} ({entry['seconds']} s)")


def _obstacle(row: Row, left: float, *, on_cpu: bool) -> str:
    if on_cpu and not row.anywhere:
        return "it needs a CUDA device"
    if left < row.seconds:
        return (
            f"too little time: it takes about {row.seconds:.0f} s, {max(left, 0):.0f} s were left"
        )
    return ""


def _take(entry: Entry, told: dict[str, Any]) -> None:
    """Take in what the process says of a row."""
    if "end" in told:
        entry["status"], entry["reason"] = told["end"], told.get("reason", "")
    elif set(told["line"]) == {"missed"}:
        entry["missed"].append(told["line"]["missed"])
        print(f"  MISSED: {told['line']['missed']}", flush=True)
    else:
        entry["lines"].append(told["line"])
        print(f"  {page.words(told['line'])}", flush=True)


def _tell(row: Row, how: str) -> None:
    print(f"{row.name}: {how}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
