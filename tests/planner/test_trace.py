"""The plan of a public production trace, through the real command, checked independently.

The trace may not be redistributed: ``LIGHTMETER_TRACES`` names the folder into which it was fetched.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from support import oracles
from support.cli import lightmeter


FOLDER = os.environ.get("LIGHTMETER_TRACES", "")
REQUESTS = Path(FOLDER).absolute() / "gentd26" / "requests.csv.gz"
pytestmark = pytest.mark.skipif(
    not FOLDER or not REQUESTS.is_file(),
    reason=f"{REQUESTS} is not there"
    if FOLDER
    else "LIGHTMETER_TRACES names no folder with gentd26/requests.csv.gz",
)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Import the trace."""
    folder = tmp_path_factory.mktemp("trace")
    ran = lightmeter("history", "import", "gentd26", REQUESTS, "--out", "history", cwd=folder)
    assert 0 == ran.code
    assert "15 of 15630 rows have no service" in ran.err
    return folder / "history"


@pytest.fixture(scope="module")
def plan(history: Path) -> dict[str, Any]:
    """Plan it for a p95 wait of 30 s."""
    ran = lightmeter(
        "plan", "--history", history, "--slo", "p95_wait=30s", "--keep-ramp-up", "--out", "report",
        cwd=history.parent,
    )  # fmt: skip
    assert (0, "") == (ran.code, ran.err)
    found: dict[str, Any] = json.loads((history.parent / "report" / "plan.json").read_text())
    return found


def test_import(history: Path) -> None:
    """Every request of the trace is a row, with the outcome that the publisher states."""
    shown = json.loads(lightmeter("history", "show", history, "--json", cwd=history.parent).out)

    assert 15_630 == shown["rows"]
    assert {"ok": 15_362, "error": 253, "unknown": 15} == shown["outcomes"]
    assert 77 == len(shown["services"].keys() - {"unknown"})


def test_advice(plan: dict[str, Any]) -> None:
    """One shared pool serves it with a small part of the GPUs, and surely saves most of the cost."""
    dedicated, shared, *_ = plan["options"]

    assert "shared" == plan["recommendation"]["kind"]
    assert dedicated["gpus"] >= 77
    assert shared["gpus"] <= dedicated["gpus"] / 8
    assert plan["recommendation"]["saving_ci"][0] >= 0.85
    assert 15_615 == plan["generated_from"]["requests"]


def test_pool_again(plan: dict[str, Any]) -> None:
    """Serving the trace by the dispatch rule, GPU by GPU, gives the plan's waits and swaps."""
    log = pd.read_csv(REQUESTS)
    log = log[log["predict_status"] != "PENDING"]
    since = pd.to_datetime(log["gmt_create"]) - pd.Timestamp("2024-11-15 16:57:50")
    models = np.unique(log["checkpoint_model_version_id"], return_inverse=True)[1]
    shared = plan["options"][1]
    waits, swapped = oracles.pool_rule(
        np.asarray(since.dt.total_seconds(), dtype=np.float64),
        np.asarray(log["exec_time_seconds"], dtype=np.float64),
        models,
        servers=shared["gpus"],
        swap=22.7,
    )

    p95 = sorted(waits)[int(np.ceil(0.95 * len(waits))) - 1]
    assert p95 == pytest.approx(shared["wait_p95_seconds"], abs=1e-6)
    assert p95 <= 30
    assert float(np.mean(np.array(waits) <= 30)) == pytest.approx(
        shared["slo_attainment"], abs=1e-6
    )
    assert sum(swapped) == shared["cold_starts"]
