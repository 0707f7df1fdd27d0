"""The whole stack under mixed load while it breaks, for minutes; `python -m bench.chaos` goes on for hours."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[2]
FAULTS = (
    "server down until it pages", "worker killed", "worker stopped, 12 s", "gateway killed", "scaler killed", "sampler killed",
    "GPU hangs until it pages", "disk full", "cable pulled", "clock set by hours",
)  # fmt: skip
"""Those that show most in the least time; the others are for longer runs."""


@pytest.mark.proof
@pytest.mark.timeout(900)
def test_chaos(tmp_path: Path) -> None:
    """Killed, stopped, starved and cut off: no answer is lost, nothing is left, each alert that is owed comes and goes."""
    chosen = [word for name in FAULTS for word in ("--fault", name)]
    command = [sys.executable, "-m", "bench.chaos", "--minutes", "10", "--rounds", "1", "--seed", "1", "--json", "--keep", str(tmp_path / "run"), *chosen]  # fmt: skip
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.stdout, ran.stderr
    found = json.loads(ran.stdout)
    assert [] == found["broken"]
    assert 0 == ran.returncode
    assert found["answered"] > 100
    assert len(found["struck"]) == len(FAULTS) - len(found["skipped"])
    assert all(one["healthy"] and one["served"] for one in found["struck"])
