"""Pages on a production trace, or on a log of its form: few, sure, and in time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from support.debian import need


pytestmark = pytest.mark.proof
BENCH = Path(__file__).parents[2] / "bench"


@pytest.mark.parametrize("name", ["pages", "outages"])
def test_pages(name: str) -> None:
    """Nobody is woken for less than three bad requests, and each kind of outage wakes somebody in time."""
    need("promtool", "prometheus")
    ran = subprocess.run([sys.executable, BENCH / f"{name}.py"], check=False, capture_output=True, text=True)  # fmt: skip

    assert 0 == ran.returncode, ran.stdout + ran.stderr
