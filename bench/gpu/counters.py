"""Counters of the real driver that others may read too, or may not: rings shared by several readers, and GPM."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

from bench.gpu.exporting import LOAD_SECONDS, MOST_POINTS, QUIET_SECONDS, Burner, _apart, _snapshot
from bench.gpu.place import Line, Place, missed
from exporter.supervisor import Options, Supervisor
from lightmeter.catalog import Dcgm


READERS = 3
PERIOD = 1.0
NOBODY = 65534
"""The user who may do nothing, on Linux."""
_GPM = (Dcgm.SM_ACTIVE, Dcgm.TENSOR_ACTIVE, Dcgm.DRAM_ACTIVE)
_ASK = """
from exporter.supervisor import Options, Supervisor
import time
source = Supervisor(Options())
time.sleep(4)
found = [one for one in source.fleet().snapshots if one.sm_active_seconds is not None]
print("told" if found else "not told")
source.close()
"""


def several(place: Place) -> Iterator[Line]:
    """Let several exporters count the same bursts: none may take samples from another."""
    sources = [Supervisor(Options()) for _ in range(READERS)]  # before any other thread
    try:
        place.need_memory(1)
        burner = Burner(place)
        time.sleep(QUIET_SECONDS)
        first = [_snapshot(source) for source in sources]
        busy = burner.bursts(PERIOD)
        time.sleep(QUIET_SECONDS)
        last = [_snapshot(source) for source in sources]
    finally:
        for source in sources:
            source.close()
    for number, (one, other) in enumerate(zip(first, last, strict=True), start=1):
        told, span = _apart(one.busy_seconds, other.busy_seconds), other.at - one.at
        points = None if told is None else (told - busy) / span
        yield {"exporter": f"{number} of {READERS}", "busy in truth": busy / span, "told": "no ring" if told is None else told / span, "points apart": "no ring" if points is None else 100 * points}  # fmt: skip
        if points is not None and abs(points) > MOST_POINTS:
            yield missed(
                f"exporter {number} of {READERS}: {100 * points:+.1f} points from the truth"
            )


def gpm(place: Place) -> Iterator[Line]:
    """See what GPM's shares say of loads that fill the GPU, one multiprocessor, or nothing."""
    source = Supervisor(Options())  # before any other thread
    try:
        place.need_memory(4)
        for what, load in _loads(place).items():
            time.sleep(QUIET_SECONDS)
            until = time.monotonic() + LOAD_SECONDS
            while time.monotonic() < until:
                load()
            gauges = _snapshot(source).gauges
            yield {"load": what} | {name.value: gauges.get(name, "not told") for name in _GPM}
    finally:
        source.close()
    yield {"load": "GPM as a user without rights"} | dict.fromkeys((n.value for n in _GPM), _as_nobody())  # fmt: skip


def _loads(place: Place) -> dict[str, Callable[[], object]]:
    import torch

    burner = Burner(place)
    matrix = torch.randn(8192, 8192, device=place.torch_device, dtype=torch.bfloat16)
    return {
        "matrices on every multiprocessor": lambda: place.seconds(lambda: matrix @ matrix, 20),
        "a kernel on one multiprocessor": lambda: burner.burn(0.2),
        "none": lambda: time.sleep(0.2),
    }


def _as_nobody() -> str:
    """Ask the driver as a user who may do nothing."""
    if os.geteuid() != 0:
        return "asked as an ordinary user already"
    try:
        ran = subprocess.run([sys.executable, "-c", _ASK], user=NOBODY, capture_output=True, check=False, text=True, timeout=30)  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"could not be asked: {type(error).__name__}"
    return ran.stdout.strip() or "could not be asked"
