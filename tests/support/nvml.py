"""The stand-in for the NVIDIA driver's library (tests/nvml), built, and told what its GPUs are."""

from __future__ import annotations

import atexit
import math
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from importlib import util
from pathlib import Path

from support.debian import need


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

    def __str__(self) -> str:
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
        self._file = folder / "gpus.txt"
        self._single: dict[tuple[str, str], str] = {}
        self._several: list[tuple[str, str, str]] = []
        self._gpus = gpus
        self._write()

    @property
    def environment(self) -> dict[str, str]:
        """Variables with which a process finds these GPUs."""
        return {"LD_LIBRARY_PATH": str(library()), "FAKE_NVML": str(self._file)}

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
        self._file.unlink()

    def _write(self) -> None:
        single = [f"{who} {key} {text}" for (who, key), text in self._single.items()]
        several = [f"{who} {key} {text}" for who, key, text in self._several]
        fresh = self._file.with_suffix(".new")
        fresh.write_text("\n".join([f"gpus {self._gpus}", *single, *several, ""]))
        fresh.replace(self._file)

    @property
    def gpus(self) -> int:
        """How many there are."""
        return self._gpus

    @gpus.setter
    def gpus(self, count: int) -> None:
        self._gpus = count
        self._write()


def _text(values: tuple[object, ...]) -> str:
    return " ".join(f"{value!r}" if isinstance(value, float) else str(value) for value in values)


def uuid(index: int) -> str:
    """Tell the UUID that the library gives a GPU."""
    return f"GPU-{index:08x}-fa4e-fa4e-fa4e-fa4efa4efa4e"


def aligned(at: float, period: float) -> float:
    """Tell the first whole multiple of a period after a moment."""
    return (math.floor(at / period) + 1) * period
