"""When samplers read, and what they read of processes, on the stand-in for the driver's library."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from exporter.sampling import Rhythm
from support.nvml import FakeNvml


LISTS = """
import json, sys
from exporter import nvml
nvml.start()
device = nvml.Device.find(0, None)
for line in sys.stdin:
    print(json.dumps(sorted((device.processes() or {}).items())), flush=True)
"""


def test_rhythm() -> None:
    """Whenever samplers were started, all read at the same moments, first at once; no time is lost."""
    passed: list[float] = []
    rhythm = Rhythm(0.5, passed.append, 10.2)
    called = [at for at in (10.2, 10.25, 10.45, 10.5, 10.95, 11.01, 11.5, 13.1, 13.4, 13.5) if rhythm(at)]  # fmt: skip
    assert [10.2, 10.5, 11.01, 11.5, 13.1, 13.5] == called
    assert pytest.approx([0, 0.3, 0.51, 0.49, 1.6, 0.4]) == passed
    assert pytest.approx(called[-1] - called[0]) == sum(passed)


def test_processes_that_come_and_go(tmp_path: Path) -> None:
    """Every process is listed, also where they become many more; those that end are gone."""
    fake = FakeNvml(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", LISTS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | fake.environment,
        text=True,
    ) as reader:
        assert reader.stdin
        assert reader.stdout

        def read() -> list[list[int | None]]:
            print(file=reader.stdin, flush=True)
            return list(json.loads(reader.stdout.readline() if reader.stdout else ""))

        assert [] == read()
        fake.add(0, "process", 7, 100, 0.1)
        assert [[7, 100 * 2**20]] == read()
        for pid in range(100, 130):
            fake.add(0, "process", pid, 10, 0.0)
        assert 31 == len(read())
        fake.remove(0, "process")
        fake.add(0, "process", 8, -1, 0.1)
        assert [[8, None]] == read()
        reader.stdin.close()
