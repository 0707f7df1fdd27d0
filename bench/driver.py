"""The exporter on the real driver, beside nvidia-smi: what differs, what the device tells, what it costs.

For a machine with an NVIDIA GPU. ``--load`` works the first GPU in bursts of a second (needs a torch
with CUDA). Nothing is judged but that readings agree; the rest answers what only hardware can:
how long each driver call takes, how the sample ring behaves, which readings are absent.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from bench import common
from exporter import nvml
from exporter.gpm import Profile
from exporter.nvml import Device
from exporter.reader import FIELDS
from exporter.snapshot import Fleet, Snapshot
from exporter.supervisor import Options, Supervisor
from lightmeter.catalog import DCGM, Dcgm


QUERY = "index,uuid,utilization.gpu,memory.used,memory.total,power.draw,temperature.gpu,clocks.sm"
COMPARED = (Dcgm.GPU_UTIL, Dcgm.FB_USED, Dcgm.FB_TOTAL, Dcgm.POWER_USAGE, Dcgm.GPU_TEMP, Dcgm.SM_CLOCK)  # fmt: skip
SAME = {Dcgm.FB_TOTAL: 1.0, Dcgm.FB_USED: 64.0, Dcgm.GPU_TEMP: 5.0}
"""Greatest median difference; the others change too fast to be the same at two moments."""
LOAD = """
import time, torch
a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
while True:
    end = time.time() + 1
    while time.time() < end:
        for _ in range(8): b = a @ a
        torch.cuda.synchronize()
    time.sleep(4)
"""


def main() -> None:
    """Watch for a while, then time the calls."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--smi", default="nvidia-smi", help="its program")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--load", action="store_true", help="work the first GPU in bursts")
    args = parser.parse_args()
    source = Supervisor(Options())  # before anything else starts a thread
    load = subprocess.Popen([sys.executable, "-c", LOAD]) if args.load else None
    try:
        pairs = list(_watch(source, args.smi, args.seconds))
        rows = [*_differences(pairs), *_known(source.fleet()), *_calls()]
    finally:
        source.close()
        if load:
            load.kill()
    failures = [row["what"] for row in rows if row.pop("wrong", False)]
    common.finish(args, common.machine("nvidia-ml-py"), rows, failures)


def _watch(source: Supervisor, smi: str, seconds: float) -> Iterator[tuple[list[str], Snapshot]]:
    """Read both once a second: nvidia-smi's row, and our readings of the same GPU."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(1)
        ran = subprocess.run(
            [smi, f"--query-gpu={QUERY}", "--format=csv,noheader,nounits"],
            capture_output=True,
            check=True,
            text=True,
        )
        ours = {one.gpu.uuid: one for one in source.fleet().snapshots if one.gpu.instance is None}
        for row in (line.split(", ") for line in ran.stdout.splitlines()):
            if row[1] in ours:
                yield row, ours[row[1]]


def _row(what: str, how: str, **more: Any) -> dict[str, Any]:
    return {"what": what, "how": how} | more


def _differences(pairs: list[tuple[list[str], Snapshot]]) -> Iterator[dict[str, Any]]:
    yield _row("pairs of readings", str(len(pairs)), wrong=not pairs)
    for column, name in enumerate(COMPARED, 2):
        found = [
            abs(float(row[column]) - ours.gauges[name])
            for row, ours in pairs
            if name in ours.gauges and row[column].replace(".", "").isdigit()
        ]
        if found:
            median = statistics.median(found)
            wrong = median > SAME.get(name, float("inf"))
            yield _row(f"{name}, difference", f"median {median:.3g}, most {max(found):.3g}", wrong=wrong)  # fmt: skip


def _known(fleet: Fleet) -> Iterator[dict[str, Any]]:
    for one in fleet.snapshots:
        absent = [metric.name for metric in DCGM if metric.name not in one.gauges]
        totals = (one.busy_seconds, one.sampled_seconds, one.sm_active_seconds, one.energy_joules)
        yield _row(f"GPU {one.gpu.index} {one.gpu.name}", f"driver {one.gpu.driver}")
        yield _row("absent", ", ".join(absent) or "nothing")
        yield _row("busy, sampled, SM-active seconds, joules", ", ".join(map(str, totals)))


def _calls() -> Iterator[dict[str, Any]]:
    """Time each call that samplers make, and look at the ring."""
    nvml.start()
    device = Device.find(0, None)
    profile = Profile(device)
    calls: dict[str, Callable[[], Any]] = {
        "memory": device.memory,
        "memory, quick": device.used,
        "utilisation": device.rates,
        "ring": lambda: device.samples(0),
        "field values": lambda: device.fields(*FIELDS),
        "other readings": device.readings,
        "processes": device.processes,
        "shares of processes": lambda: device.shares(time.time() - 1),
        "profiling counters": profile.read,
    }
    for name, call in calls.items():
        spent = sorted(_timed(call) for _ in range(100))
        yield _row(f"{name}, µs", f"median {1e6 * spent[50]:.0f}, most {1e6 * spent[-1]:.0f}")
    samples = device.samples(0) or []
    moments = [at for at, _ in samples]
    steps = [later - sooner for sooner, later in itertools.pairwise(moments)]
    if steps:
        yield _row("ring", f"{len(samples)} samples, {statistics.median(steps):.4f} s apart, newest {time.time() - moments[-1]:.3f} s old by the Unix clock")  # fmt: skip


def _timed(call: Callable[[], Any]) -> float:
    time.sleep(0.005)  # as cold as between two looks
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
