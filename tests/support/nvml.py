"""The stand-in for the NVIDIA driver's library (tests/nvml), built, and told what its GPUs are."""

from __future__ import annotations

import atexit
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import util
from pathlib import Path
from typing import Any, Self

from exporter import frames
from exporter.snapshot import Fleet, Health, Snapshot
from support.debian import need
from support.server import eventually


SOURCES = Path(__file__).parents[1] / "nvml"
NAME = "libnvidia-ml.so.1"
FOR_EVER = -1.0


@dataclass(frozen=True)
class Wave:
    """On for ``length`` seconds of every ``period``, from ``phase`` on; always where period is 0."""

    period: float = 0.0
    length: float = 0.0
    phase: float = 0.0
    level: float = 1.0

    def seconds(self, begin: float, end: float) -> float:
        """Tell the seconds on between two moments of the Unix clock, times the level."""
        if self.period <= 0:
            return self.level * (end - begin)
        return self.level * (self._since(end) - self._since(begin))

    def _since(self, at: float) -> float:
        cycles, into = divmod(at - self.phase, self.period)
        return cycles * self.length + min(into, self.length)

    def __format__(self, _: str) -> str:
        return f"{self.period!r} {self.length!r} {self.phase!r} {self.level!r}"


@cache
def library() -> Path:
    """Build the library; return the folder that holds it.

    Skips the test where there is no compiler; in CI that is a failure.
    """
    compiler = need("cc", "gcc")
    folder = Path(tempfile.mkdtemp(prefix="fake-nvml-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    stubs = folder / "stubs.c"
    stubs.write_text("".join(f"__attribute__((weak)) int {name}(void) {{ return 3; }}\n" for name in _known()))  # fmt: skip
    flags = ["-O1", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", f"-Wl,-soname,{NAME}"]
    sources = [*map(str, sorted(SOURCES.glob("*.c"))), str(stubs)]
    subprocess.run([compiler, *flags, "-o", str(folder / NAME), *sources, "-lm"], check=True)
    return folder


def _known() -> list[str]:
    """List the functions that pynvml looks for."""
    spec = util.find_spec("pynvml")
    assert spec is not None
    assert spec.origin is not None
    text = Path(spec.origin).read_text(encoding="utf-8")
    return sorted(set(re.findall(r'_nvmlGetFunctionPointer\("(\w+)"\)', text)))


class FakeNvml:
    """A machine's GPUs, as lines of the file that the library reads. Each change is seen at once."""

    def __init__(self, folder: Path, gpus: int = 1) -> None:
        """Make idle GPUs whose file is in ``folder``."""
        self.file = folder / "gpus.txt"
        self._single: dict[tuple[str, str], str] = {}
        self._several: list[tuple[str, str, str]] = []
        self._gpus = gpus
        self.environment = {"LD_LIBRARY_PATH": str(library()), "FAKE_NVML": str(self.file)}
        """Variables with which a process finds these GPUs."""
        self._write()

    def set(self, who: int | str, key: str, *values: object) -> None:
        """Say what a GPU (or ``*``, or the machine: ``""``) is; the last word counts."""
        self._single[str(who), key] = _text(values)
        self._write()

    def add(self, who: int | str, key: str, *values: object) -> None:
        """Give a GPU one more of something: a process, an instance, an XID error, a fault."""
        self._several.append((str(who), key, _text(values)))
        self._write()

    def remove(self, who: int | str, *keys: str) -> None:
        """Take every one of something away from a GPU."""
        kept = [line for line in self._several if line[:2] not in {(str(who), key) for key in keys}]
        self._several = kept
        self._write()

    def error(self, who: int | str, code: int, function: str = "*") -> None:
        """Let a GPU's calls fail with an NVML error code."""
        self.add(who, "error", function, code)

    def hang(self, who: int | str, seconds: float = FOR_EVER, function: str = "*") -> None:
        """Let a GPU's calls block."""
        self.add(who, "hang", function, seconds)

    def heal(self, who: int | str) -> None:
        """End a GPU's faults; calls that block go on blocking."""
        self.remove(who, "error", "hang")

    def unload(self) -> None:
        """Take the driver away, until something is set again."""
        self.file.unlink()

    def _write(self) -> None:
        single = [f"{who} {key} {text}" for (who, key), text in self._single.items()]
        several = [f"{who} {key} {text}" for who, key, text in self._several]
        fresh = self.file.with_suffix(".new")
        fresh.write_text("\n".join([f"gpus {self._gpus}", *single, *several, ""]))
        fresh.replace(self.file)

    @property
    def gpus(self) -> int:
        """How many there are."""
        return self._gpus

    @gpus.setter
    def gpus(self, count: int) -> None:
        self._gpus = count
        self._write()


def _text(values: tuple[object, ...]) -> str:
    return " ".join(f"{value!r}" if isinstance(value, float) else f"{value}" for value in values)


def uuid(index: int) -> str:
    """Tell the UUID that the library gives a GPU."""
    return f"GPU-{index:08x}-fa4e-fa4e-fa4e-fa4efa4efa4e"


def aligned(at: float, period: float) -> float:
    """Tell the first whole multiple of a period after a moment."""
    return (math.floor(at / period) + 1) * period


WATCHER = """
import json, logging, sys
from exporter import frames
from exporter.supervisor import Options, Supervisor
logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
source = Supervisor(Options(**json.loads(sys.argv[1])))
for _ in sys.stdin:
    print(frames.dumps(frames.from_fleet(source.fleet())).decode(), flush=True)
source.close()
"""


class Watched:
    """A process that watches the GPUs of a `FakeNvml` and tells what it knows when it is asked."""

    def __init__(self, fake: FakeNvml, **options: float | str) -> None:
        options.setdefault("root", str(fake.file.with_suffix(".nowhere")))  # not this machine's
        self._log = fake.file.with_suffix(".log")
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", WATCHER, json.dumps(options)],
                env=os.environ | fake.environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def fleet(self) -> Fleet:
        """Ask for what is known now."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return frames.to_fleet(frames.loads(self.process.stdout.readline()))

    def until(self, condition: Callable[[Fleet], Any], seconds: float = 60.0) -> Fleet:
        """Ask until something is the case; return the fleet in which it is."""
        found: list[Fleet] = []

        def asked() -> bool:
            found[:] = [self.fleet()]
            return bool(condition(found[0]))

        assert eventually(asked, seconds), (found, self.log)
        return found[0]

    @property
    def log(self) -> str:
        """What it has logged."""
        return self._log.read_text()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate(timeout=60)


def health(fleet: Fleet, index: int | None = 0) -> Health:
    """Find a GPU's state; one that is not listed has none."""
    unknown = Health(index=index, uuid=None, up=False, reason="unlisted", age_seconds=None)
    return next((one for one in fleet.health if one.index == index), unknown)


def snapshot(fleet: Fleet, index: int = 0, instance: int | None = None) -> Snapshot | None:
    """Find a GPU's readings."""
    found = (
        one for one in fleet.snapshots if (one.gpu.index, one.gpu.instance) == (index, instance)
    )
    return next(found, None)


def readings(fleet: Fleet, index: int = 0, instance: int | None = None) -> Snapshot:
    """Find the readings that must be there."""
    found = snapshot(fleet, index, instance)
    assert found is not None
    return found


def all_up(fleet: Fleet) -> bool:
    """Tell whether every GPU answers."""
    return bool(fleet.health) and all(one.up for one in fleet.health)
