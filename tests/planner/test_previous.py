"""This month against the plan of the last one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lightmeter.errors import PlanError
from planner import previous
from support import plans
from support.rows import DAY, every, row
from support.rows import frame as frame_of


HOUR = 3600.0
USAGE = [row(HOUR / 2 * k, 60.0, service="ab"[k % 2]) for k in range(48 * 14)]


def saved(path: Path, document: dict[str, Any]) -> Path:
    """Write a plan.json."""
    file = path / "plan.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    return file


def test_changes(tmp_path: Path) -> None:
    """The plan says how load, costs and advice have changed since the last one."""
    before = saved(tmp_path, plans.document(USAGE))
    found = plans.document(every(HOUR, 24 * 14, seconds=60.0), previous=before)["previous"]

    assert found["advice_changed"]
    assert "one shared pool" in found["advice"]
    assert found["load"]["before"] == pytest.approx(2 * found["load"]["now"], rel=0.01)
    assert found["requests_per_day"]["before"] == pytest.approx(48, rel=0.01)
    assert all(option["monthly_cost_now"] > 0 for option in found["options"])


@pytest.mark.parametrize(("gpus", "share"), [(1, 1.0), (2, 0.0)])
def test_saving(tmp_path: Path, gpus: int, share: float) -> None:
    """Who follows the advice has all of its saving; who keeps a GPU for each service has none."""
    before = saved(tmp_path, plans.document(USAGE, slo="p95_wait=2m"))
    used = [row(HOUR / 2 * k, 60.0, service="ab"[k % 2], gpu_uuid=f"GPU-{k % gpus}") for k in range(48 * 14)]  # fmt: skip
    saving = plans.document(used, slo="p95_wait=2m", previous=before)["previous"]["saving"]

    assert saving["gpu_hours_held"] == gpus * 730
    assert share == saving["share_of_promise"]
    assert saving["promised_ratio"] == 0.5


def test_unknown_gpus(tmp_path: Path) -> None:
    """Where no row names its GPU, what was spent is not known, unless it is stated."""
    before = saved(tmp_path, plans.document(USAGE, slo="p95_wait=2m"))

    unknown = plans.document(USAGE, slo="p95_wait=2m", previous=before)["previous"]["saving"]
    stated = plans.document(USAGE, slo="p95_wait=2m", previous=before, held_gpus=2)["previous"]
    assert "--held-gpus" in unknown["reason"]
    assert 0.0 == stated["saving"]["share_of_promise"]


def test_no_advice_before(tmp_path: Path) -> None:
    """A plan without advice promised nothing."""
    before = saved(tmp_path, plans.document(every(60, 60)))

    found = plans.document(USAGE, previous=before)["previous"]
    assert (None, "the previous plan gave no advice") == (
        found["advice"],
        found["saving"]["reason"],
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is no JSON"),
        ("[]", "is no plan.json of schema 1"),
        ('{"schema": 1}', "is no plan.json of schema 1"),
    ],
)
def test_bad_file(tmp_path: Path, content: str, said: str) -> None:
    """What is no plan is refused in one line."""
    file = tmp_path / "plan.json"
    file.write_text(content, encoding="utf-8")

    with pytest.raises(PlanError, match=said):
        previous.load(file)
    with pytest.raises(PlanError, match="does not exist"):
        previous.load(tmp_path / "none.json")


def test_currency(tmp_path: Path) -> None:
    """Plans of two currencies are not compared."""
    before = saved(tmp_path, plans.document(USAGE))

    with pytest.raises(PlanError, match="previous plan is in USD, this one in CNY"):
        plans.document(USAGE, previous=before, sku="alibaba-gn7i-a10")


def test_days() -> None:
    """A GPU counts for the days on which it served somebody."""
    usage = [row(DAY * k, gpu_uuid=f"GPU-{k % 2}") for k in range(10)]
    frame = frame_of([*usage, *(row(DAY * k + 60, gpu_uuid="GPU-0") for k in range(10))])

    assert 1.5 * 720 == previous.held_gpu_hours(frame, None, 720)
    assert 3 * 720 == previous.held_gpu_hours(frame, 3, 720)
