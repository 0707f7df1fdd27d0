"""What an older or a newer release left in the data folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from alerts.scale import memory
from lightmeter.errors import PlanError
from lightmeter.localprom.archive import MAGIC, load, segments
from lightmeter.localprom.store import Store
from lightmeter.scaling.decide import decide
from lightmeter.scaling.state import Settings, fresh
from planner import previous
from support.scaling import BUSY


def test_samples_of_a_later_version(tmp_path: Path) -> None:
    """After a step back the samples of the later version are told of and left for it, not set aside."""
    assert b"lightmeter-samples-1\n" == MAGIC
    later = tmp_path / "000000000000001-1.samples"
    later.write_bytes(b"lightmeter-samples-2\nsomething else")
    said = load(tmp_path, Store())

    assert ["another version of lightmeter wrote it"] == [line.split("; ")[0].split(": ")[1] for line in said]  # fmt: skip
    assert [later] == segments(tmp_path)


def decided(**state: Any) -> dict[str, Any]:
    """Make a decision's record, its state with some values replaced."""
    record = decide(fresh(Settings()), BUSY, 1000.0).record("null", mode="act", result="done")
    record["state"] |= state
    return record


@pytest.mark.parametrize("state", [{"gaps": [[1]]}, {"settings": {"unknown": 1}}, {"new": 1}])
def test_decision_of_another_release(
    state: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A scaler that cannot read what another release remembered says so and begins anew."""
    (tmp_path / "decisions.jsonl").write_text(json.dumps(decided(**state)) + "\n")

    assert memory.Memory() == memory.recall(tmp_path, "null", now=1010.0)
    assert "nothing is remembered" in caplog.text


def test_decision_of_the_same_release(tmp_path: Path) -> None:
    """What this release wrote it remembers."""
    (tmp_path / "decisions.jsonl").write_text(json.dumps(decided()) + "\n")

    assert memory.recall(tmp_path, "null", now=1010.0).standing == decided()["to"]


def test_plan_of_a_later_schema(tmp_path: Path) -> None:
    """A plan.json of another schema is refused by its number, and not half understood."""
    path = tmp_path / "plan.json"
    plan = {
        "schema": 2,
        "options": [],
        "recommendation": {},
        "generated_from": {},
        "currency": "USD",
    }
    path.write_text(json.dumps(plan))

    with pytest.raises(PlanError, match=r"is no plan\.json of schema 1"):
        previous.load(path)
