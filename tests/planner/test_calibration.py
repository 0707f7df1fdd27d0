"""Predicted waits against observed ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lightmeter import replay
from lightmeter.rows import UsageRow
from planner import calibration
from planner.calibration import Calibration
from planner.slo import Slo
from support import plans
from support.rows import frame, row


def served(
    gpus: int, *, late: float = 0.0, names: bool = True, count: int = 2000
) -> list[UsageRow]:
    """Requests of a service on so many GPUs, with the waits that they had, and some seconds more."""
    rng = np.random.default_rng(1)
    arrivals = np.cumsum(rng.exponential(60.0, count))
    seconds = rng.lognormal(4.2, 0.4, count)
    waits = replay.waits(arrivals, seconds, gpus)
    return [
        row(at, took, queue_seconds=wait + late, gpu_uuid=f"GPU-{index % gpus}" if names else None)
        for index, (at, took, wait) in enumerate(zip(arrivals, seconds, waits, strict=True))
    ]


def calibrate(usage: list[UsageRow], gpus: int | None = None, wait: float = 30.0) -> Calibration:
    """Hold the waits of rows against the replay."""
    return calibration.calibrate(
        frame(usage), Slo(wait, 0.95), limit=0.3, swap_seconds=20.0, gpus=gpus
    )


def test_exact() -> None:
    """Where the GPUs were used as the replay says, every quantile is right."""
    found = calibrate(served(2))

    assert (2000, 2, True) == (found.requests, found.gpus, found.holds)
    assert found.error == pytest.approx(0.0, abs=1e-4)
    assert [0.5, 0.9, 0.95, 0.99] == [one.q for one in found.quantiles]
    for one in found.quantiles:
        assert one.predicted_seconds == pytest.approx(one.observed_seconds, rel=1e-3, abs=1e-2)
    assert found.quantiles[2].observed_seconds > 10


def test_off() -> None:
    """Waits that the replay does not know of are stated for each quantile, and past the limit hold advice."""
    found = calibrate(served(2, late=100.0))

    assert not found.holds
    assert found.error is not None
    assert found.error > 0.3
    for one in found.quantiles:
        assert one.error_seconds == pytest.approx(-100.0, abs=0.1)
    assert "(limit 30.0 %)" in found.reason


def test_next_to_the_limit() -> None:
    """Being off by seconds matters for an objective of seconds, not for one of an hour."""
    usage = served(4, late=10.0)

    assert not calibrate(usage, wait=5.0).holds
    assert calibrate(usage, wait=3600.0).holds


def test_no_waits() -> None:
    """A history without waits is said to be one; it takes no advice away."""
    plain = [row(60.0 * k) for k in range(300)]

    assert calibrate(plain).holds
    assert "the history holds no waits to hold the replay against" == calibrate(plain).reason
    few = [row(60.0 * k, queue_seconds=0.0, gpu_uuid="GPU-0") for k in range(99)]
    assert "99 waits, fewer than 100," in calibrate(few).reason


def test_unnamed_gpus() -> None:
    """Where rows name no GPU, their number may be stated; without it, that is said."""
    usage = served(2, names=False)

    assert "--held-gpus" in calibrate(usage).reason
    assert calibrate(usage, gpus=2).error == pytest.approx(0.0, abs=1e-4)
    assert not calibrate(usage, gpus=1).holds


def test_pools() -> None:
    """Services that share a GPU wait for each other; those that do not, do not."""
    own = [
        one
        for name in "ab"
        for one in (
            row(400.0 * k, 300.0, service=name, queue_seconds=0.0, gpu_uuid=f"GPU-{name}")
            for k in range(100)
        )
    ]
    together = [row(400.0 * k, 150.0, service="ab"[k % 2], queue_seconds=20.0, gpu_uuid="GPU-0") for k in range(200)]  # fmt: skip
    apart, shared = calibrate(own), calibrate(together)

    assert (2, 0.0) == (apart.gpus, apart.error)
    assert (1, 0.0) == (shared.gpus, shared.error)


def advice(usage: list[UsageRow], **settings: Any) -> dict[str, Any]:
    """Plan, and return the document."""
    return plans.document(usage, slo="p95_wait=30s", **settings)


def test_no_advice() -> None:
    """A replay that does not tell the present is no ground for advice; a wider limit may be set."""
    found = advice(served(2, late=100.0))

    assert found["recommendation"]["option"] is None
    assert found["recommendation"]["reason"].startswith("No advice: 95 % of the 2,000 waits")
    assert not found["calibration"]["holds"]
    assert (
        advice(served(2, late=100.0), calibration_limit=2)["recommendation"]["option"] is not None
    )
    assert advice(served(2))["recommendation"]["option"] is not None
