"""How service times vary, as it is read from buckets."""

from __future__ import annotations

import math
from random import Random

import pytest

from alerts.scale.spread import scv
from lightmeter import catalog


def buckets(times: list[float]) -> dict[float, float]:
    """Count as a histogram of stages does."""
    bounds = (*catalog.STAGE_DURATION.buckets, math.inf)
    return {bound: float(sum(time <= bound for time in times)) for bound in bounds}


@pytest.mark.parametrize(
    ("name", "wanted"), [("always the same", 0.0), ("exponential", 1.0), ("two kinds", 0.36)]
)
def test_known(name: str, wanted: float) -> None:
    """Times whose variation is known come out near it."""
    chance = Random(1)
    times = {
        "always the same": [10.0] * 1000,
        "exponential": [chance.expovariate(0.2) for _ in range(20_000)],
        "two kinds": [chance.choice((4.0, 16.0)) for _ in range(5000)],
    }[name]

    assert pytest.approx(wanted, abs=0.15) == scv(buckets(times))


def test_too_few() -> None:
    """A handful, nothing, and buckets without their end say nothing."""
    assert None is scv(buckets([1.0] * 19))
    assert None is scv({})
    assert None is scv({1.0: 100.0})
    assert None is not scv(buckets([1.0] * 20))
    assert None is scv({0.0: 50.0, math.inf: 50.0})
