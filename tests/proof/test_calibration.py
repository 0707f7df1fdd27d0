"""The replay against a server that really queued."""

from __future__ import annotations

from pathlib import Path

import pytest

from lightmeter.history import History
from planner import calibration, plan
from planner.slo import Slo
from support.server import Server


pytestmark = pytest.mark.proof
BURSTS, AT_ONCE = 12, 12


def test_real_server(tmp_path: Path) -> None:
    """Bursts at one worker wait as the replay of their own GPU times says, within a factor of three."""
    with Server(tmp_path, "--batch", "1") as server:
        server.ready()
        for _ in range(BURSTS):
            answers = server.together([{"size": "64x64"}] * AT_ONCE)
            assert {200} == {answer.status_code for answer in answers}
    frame = History(tmp_path / "history").frame(plan.COLUMNS)
    found = calibration.calibrate(frame, Slo(0.01, 0.95), limit=0.3, swap_seconds=0.0, gpus=1)

    assert (BURSTS * AT_ONCE, 1) == (found.requests, found.gpus)
    assert (
        "--held-gpus"
        in calibration.calibrate(
            frame, Slo(0.01, 0.95), limit=0.3, swap_seconds=0.0, gpus=None
        ).reason
    )  # this worker has no GPU to name
    p95 = found.quantiles[2]
    assert 0 < p95.predicted_seconds < 3 * p95.observed_seconds
    assert p95.observed_seconds < 3 * p95.predicted_seconds
