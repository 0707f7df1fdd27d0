"""What the inputs that nobody measured do to the advice."""

from __future__ import annotations

from typing import Any

import pytest

from lightmeter.rows import UsageRow
from planner.inputs import INPUTS
from support import plans
from support.rows import DAY, every, row


def alternating(count: int = 400) -> list[UsageRow]:
    """Two services that take turns, a quarter of an hour apart."""
    return [row(900.0 * k, 10.0, service="ab"[k % 2]) for k in range(count)]


def swept_plan(usage: list[UsageRow], **settings: Any) -> dict[str, Any]:
    """Plan, trying five values of each input."""
    return plans.document(usage, **({"sweep_points": 5} | settings))


def block(found: dict[str, Any], key: str) -> dict[str, Any]:
    """Return the sweep of one input."""
    return next(entry for entry in found["sensitivity"] if key == entry["input"])


def test_inputs() -> None:
    """Every input says its range, unit and source, and the range holds the default."""
    now = plans.terms(
        swap_seconds=22.7, wake_seconds=6.0, interference=0.095, mps_interference=0.075
    )

    assert len({one.key for one in INPUTS}) == len(INPUTS)
    for one in INPUTS:
        assert 0 <= one.low < one.high
        assert one.low <= one.now(now) <= one.high
        assert one.what
        assert one.unit
        assert one.source


@pytest.mark.parametrize("key", ["load", "gpu_seconds", "swap_seconds", "start_seconds"])
def test_swept(key: str) -> None:
    """Each input is swept over its whole range, the value in use among the others."""
    found = block(swept_plan(alternating(), slo="p95_wait=30s"), key)
    tried = [point["at"] for point in found["points"]]

    assert tried == sorted(tried)
    assert (found["low"], found["high"]) == (tried[0], tried[-1])
    assert found["value"] in tried
    assert all(3 <= len(point["options"]) for point in found["points"])


def test_flip_of_a_swap() -> None:
    """A pool that swaps for every request keeps 30 s as long as a swap takes no longer."""
    found = swept_plan(alternating(), slo="p95_wait=30s", swap_seconds=5.0)
    swept = block(found, "swap_seconds")
    [flip] = swept["flips"]

    assert "one shared pool" == flip["from"]
    assert 30.0 < flip["at"] <= 30.0 * 1.15  # an eighth of the way to the next value
    assert any(
        flip["what"].startswith("time to swap a model, seconds; from there on")
        for flip in found["recommendation"]["flips_when"]
    )
    for point in swept["points"]:
        assert (point["advice"] == "one shared pool") == (point["at"] <= 30)


def test_indifferent() -> None:
    """An input that no option depends on, and one whose value changes nothing, flips nothing."""
    alone = swept_plan(every(900.0, 400), slo="p95_wait=30s")

    assert [] == block(alone, "load")["flips"]


def test_prices() -> None:
    """Each pair of options has the ratio of prices at which they cost the same; exactly."""
    found = swept_plan(alternating(), slo="p95_wait=30s")
    costs = {option["name"]: option["monthly_cost"] for option in found["options"]}
    pairs = block(found, "price")["breaks_even"]

    assert 3 <= len(pairs)
    for pair in pairs:
        assert costs[pair["dearer"]] / costs[pair["cheaper"]] == pytest.approx(pair["at"], rel=1e-3)


def test_no_advice() -> None:
    """Without advice there is nothing that could flip, and nothing is tried for long."""
    found = swept_plan(every(60, 60))

    assert ["price"] == [entry["input"] for entry in found["sensitivity"]]


def test_not_swept() -> None:
    """Zero points sweep nothing: for histories that take long to replay."""
    found = swept_plan(every(900.0, 96 * 8, first=DAY), sweep_points=0)

    assert ["price"] == [entry["input"] for entry in found["sensitivity"]]
