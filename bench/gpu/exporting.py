"""The exporter on the real driver: beside nvidia-smi, and under loads of which everything is known."""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, Self

import psutil

from bench.gpu.place import GIB, Line, Place, Waiting, missed
from exporter.snapshot import Snapshot
from exporter.supervisor import Options, Supervisor
from lightmeter.catalog import Dcgm


BURSTS = (5.0, 1.0, 0.2)
"""Periods, seconds, of loads that are on for half of the time."""
LOAD_SECONDS = 4.0
QUIET_SECONDS = 1.5
"""Before and after a load, so that it does not matter when a sample of it is told."""
SPIKES = (0.5, 0.05)
MOST_POINTS = 0.01


def driver(_place: Place) -> Iterator[Line]:
    """Let ``bench/driver.py`` compare it with nvidia-smi, and time the driver's calls."""
    smi = shutil.which("nvidia-smi")
    if smi is None:
        raise Waiting("nvidia-smi is not installed")
    command = ["-P", "-m", "bench.driver", "--json", "--load", "--seconds", "8", "--smi", smi]
    run = subprocess.run(
        [sys.executable, *command], capture_output=True, check=False, text=True, timeout=120
    )
    if not run.stdout:
        raise Waiting(f"it failed: {run.stderr.strip().rpartition(chr(10))[2][:200]}")
    result = json.loads(run.stdout)
    yield from result["results"]
    yield from (missed(f"{failure} is not as nvidia-smi says") for failure in result["failures"])


def exporter(place: Place) -> Iterator[Line]:
    """Put known loads on the GPU and see what the exporter makes of them."""
    source = Supervisor(Options(peak_window=1.5))  # before any other thread
    try:
        place.need_memory(4)
        burn = Burner(place)
        _snapshot(source)
        for period in BURSTS:
            yield from _burst(source, burn, period)
        yield from _idle(source)
        for seconds in SPIKES:
            yield from _spike(source, seconds)
    finally:
        source.close()


def _snapshot(source: Supervisor) -> Snapshot:
    """Wait for readings of the first GPU that are fresh.

    Raises:
        Waiting: there are none.
    """
    begun, until = time.time(), time.monotonic() + 15
    while time.monotonic() < until:
        found = [one for one in source.fleet().snapshots if one.at > begun]
        if found:
            return found[0]
        time.sleep(0.05)
    raise Waiting("the exporter reads no GPU")


class Burner:
    """A kernel that only lets time pass, for a known number of the GPU's clock cycles."""

    def __init__(self, place: Place) -> None:
        import torch

        self._place = place
        cuda: Any = torch.cuda
        self._sleep = cuda._sleep  # noqa: SLF001  (torch's own tests use it so)
        self._sleep(100_000_000)
        self._rate = 500_000_000 / place.seconds(lambda: self._sleep(500_000_000))

    def burn(self, seconds: float) -> float:
        """Keep the GPU busy; return for how long it was."""
        return self._place.seconds(lambda: self._sleep(int(seconds * self._rate)))

    def bursts(self, period: float) -> float:
        """Keep it busy for half of each period; return for how long it was in all."""
        busy, until = 0.0, time.monotonic() + max(LOAD_SECONDS, 2 * period)
        while (begun := time.monotonic()) < until:
            busy += self.burn(period / 2)
            time.sleep(max(0.0, begun + period - time.monotonic()))
        return busy


class Looker:
    """Follows the power that the exporter tells, in a thread, between its entry and its exit."""

    def __init__(self, source: Supervisor) -> None:
        self._source = source
        self._watts: dict[float, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def _look(self) -> None:
        while not self._stop.wait(0.1):
            for one in self._source.fleet().snapshots[:1]:
                if Dcgm.POWER_USAGE in one.gauges:
                    self._watts[one.at] = one.gauges[Dcgm.POWER_USAGE]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def joules(self) -> float:
        """The integral of power."""
        pairs = itertools.pairwise(sorted(self._watts.items()))
        return sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairs)


def _burst(source: Supervisor, burner: Burner, period: float) -> Iterator[Line]:
    """Load the GPU from silence to silence, and compare what was counted meanwhile."""
    time.sleep(QUIET_SECONDS)
    first = _snapshot(source)
    with Looker(source) as looker:
        busy = burner.bursts(period)
        time.sleep(QUIET_SECONDS)
        last = _snapshot(source)
    span = last.at - first.at
    line: Line = {"load": f"half of every {period} s", "busy in truth": busy / span}
    told = _apart(first.busy_seconds, last.busy_seconds)
    if told is None:
        yield line | {"exporter": "no ring"}
        return
    points = (told - busy) / span
    sm = _apart(first.sm_active_seconds, last.sm_active_seconds)
    joules = _apart(first.energy_joules, last.energy_joules)
    yield line | {
        "exporter": told / span,
        "points apart": 100 * points,
        "SM active (GPM)": "not told" if sm is None else sm / span,
        "energy, J": "not told" if joules is None else joules,
        "integral of power, J": looker.joules,
    }
    if abs(points) > MOST_POINTS:
        yield missed(f"bursts of {period / 2} s: {100 * points:+.1f} points from the truth")


def _apart(first: float | None, last: float | None) -> float | None:
    return None if first is None or last is None else last - first


def _idle(source: Supervisor) -> Iterator[Line]:
    """See that silence is told as such, and what the exporter takes of the host meanwhile."""
    time.sleep(1)
    first, cpu, began = _snapshot(source), _cpu(), time.monotonic()
    time.sleep(4)
    last, spent, span = _snapshot(source), _cpu() - cpu, time.monotonic() - began
    busy = _apart(first.busy_seconds, last.busy_seconds)
    yield {
        "load": "none",
        "busy in truth": 0.0,
        "exporter": "no ring" if busy is None else busy / (last.at - first.at),
        "CPU of its processes, % of a core": 100 * spent / span,
    }


def _cpu() -> float:
    """Sum the CPU seconds of the exporter's processes."""
    total = 0.0
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            times = child.cpu_times()
            total += times.user + times.system
    return total


def _spike(source: Supervisor, seconds: float) -> Iterator[Line]:
    """Take memory for a moment, and see whether the peak knows."""
    import torch

    time.sleep(2.2)  # until the last one is forgotten
    before = _snapshot(source).memory_used_bytes or 0
    block = torch.empty(2 * GIB, dtype=torch.uint8, device="cuda")
    time.sleep(seconds)
    del block
    torch.cuda.empty_cache()
    peak = _snapshot(source).memory_peak_bytes or 0
    yield {"load": f"2 GiB for {seconds} s", "peak above before, GiB": (peak - before) / GIB}
    if peak - before < 1.9 * GIB:
        yield missed(f"a spike of {seconds} s was not seen")
