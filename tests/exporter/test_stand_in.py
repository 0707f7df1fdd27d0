"""The stand-in for the driver's library, through the real pynvml."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from support.nvml import FakeNvml, Wave, uuid


PRELUDE = """
import json, sys, time
import pynvml as nvml
nvml.nvmlInit()
gpu = nvml.nvmlDeviceGetHandleByIndex(0)
def show(value): print(json.dumps(value), flush=True)
"""


def ask(fake: FakeNvml, code: str) -> Any:
    """Run a few lines that call pynvml and ``show`` something; return what they showed."""
    run = subprocess.run(
        [sys.executable, "-P", "-c", PRELUDE + code],
        env=os.environ | fake.environment,
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert 0 == run.returncode, run.stderr
    return json.loads(run.stdout)


def test_identity(tmp_path: Path) -> None:
    """It has the GPUs that it is told to have."""
    fake = FakeNvml(tmp_path, gpus=3)

    assert [3, uuid(0), "580.95.05"] == ask(
        fake,
        "show([nvml.nvmlDeviceGetCount(), nvml.nvmlDeviceGetUUID(gpu), nvml.nvmlSystemGetDriverVersion()])",
    )


def test_memory(tmp_path: Path) -> None:
    """The newer call tells reserved memory apart; the older counts it as used."""
    fake = FakeNvml(tmp_path)
    fake.set(0, "vram", 1000)
    fake.set(0, "memory", 8000, 600)

    assert [1000 << 20, 600 << 20, 1600 << 20] == ask(
        fake,
        "new = nvml.nvmlDeviceGetMemoryInfo(gpu, nvml.nvmlMemory_v2)\n"
        "show([new.used, new.reserved, nvml.nvmlDeviceGetMemoryInfo(gpu).used])",
    )


def test_ring(tmp_path: Path) -> None:
    """The samples of the ring add up to the truth, and none comes twice."""
    fake = FakeNvml(tmp_path)
    busy = Wave(7, 1, 0.3)
    fake.set(0, "busy", busy)

    first, second = ask(
        fake,
        "def read(seen): return [[s.timeStamp, s.sampleValue.uiVal] for s in nvml.nvmlDeviceGetSamples(gpu, 1, seen)[1]]\n"
        "first = read(0)\n"
        "time.sleep(0.5)\n"
        "show([first, read(first[-1][0])])",
    )

    end = first[-1][0] / 1e6
    assert 120 == len(first)
    assert busy.seconds(end - 20, end) == pytest.approx(
        sum(value / 600 for _, value in first), abs=0.02
    )
    assert first[-1][0] < second[0][0]


def test_dry_ring(tmp_path: Path) -> None:
    """A ring that leaves idle samples out says "not found" and not zero."""
    fake = FakeNvml(tmp_path)
    fake.set(0, "ring", 0.1, 120, 1)

    assert "NVMLError_NotFound" == ask(
        fake,
        "try: nvml.nvmlDeviceGetSamples(gpu, 1, 0)\n"
        "except nvml.NVMLError as error: show(type(error).__name__)",
    )


def test_energy(tmp_path: Path) -> None:
    """The energy counter is the integral of the power."""
    fake = FakeNvml(tmp_path)
    boot = time.time() - 100
    fake.set("", "boot", boot)
    fake.set(0, "busy", Wave(2, 1))
    fake.set(0, "watts", 100, 500)

    joules = ask(fake, "show(nvml.nvmlDeviceGetTotalEnergyConsumption(gpu) / 1000)")

    assert time.time() - boot == pytest.approx(joules / 300, abs=3)


def test_change(tmp_path: Path) -> None:
    """A process that runs sees a change at once: an XID error, then a lost GPU."""
    fake = FakeNvml(tmp_path)
    code = (
        "events = nvml.nvmlEventSetCreate()\n"
        "nvml.nvmlDeviceRegisterEvents(gpu, 8, events)\n"
        "print('ready', flush=True)\n"
        "show(nvml.nvmlEventSetWait_v2(events, 60000).eventData)\n"
        "try:\n"
        "    while True: nvml.nvmlDeviceGetPowerUsage(gpu)\n"
        "except nvml.NVMLError as error: show(type(error).__name__)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-P", "-c", PRELUDE + code],
        env=os.environ | fake.environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert "ready\n" == process.stdout.readline()
        fake.add(0, "xid", 79)
        assert "79\n" == process.stdout.readline()
        fake.error(0, 15)
        assert '"NVMLError_GpuIsLost"\n' == process.stdout.readline()


def test_unknown_function(tmp_path: Path) -> None:
    """What it does not have, it says it does not support, as a driver does."""
    assert "NVMLError_NotSupported" == ask(
        FakeNvml(tmp_path),
        "try: nvml.nvmlDeviceGetFanSpeed(gpu)\n"
        "except nvml.NVMLError as error: show(type(error).__name__)",
    )


def test_no_driver(tmp_path: Path) -> None:
    """Without its file it is a driver that is not loaded."""
    fake = FakeNvml(tmp_path)
    fake.unload()
    run = subprocess.run(
        [sys.executable, "-P", "-c", PRELUDE],
        env=os.environ | fake.environment,
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )

    assert "NVMLError_DriverNotLoaded" in run.stderr
