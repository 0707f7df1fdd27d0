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
from lightmeter.scaling.decision import SCHEMA
from lightmeter.scaling.state import Settings, fresh
from planner import previous
from support.cli import lightmeter
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


RECORDED = Path(__file__).parent / "scaling" / "decisions-schema-1.jsonl"
"""As a scaler wrote them before their schema had a number (0.1.0 of 2026-11-20)."""


def test_recorded_decisions(tmp_path: Path) -> None:
    """Decisions without a number are read as ever: told in words, and decided again as they were."""
    told = lightmeter("explain", "last", "--decisions", RECORDED, cwd=tmp_path)
    again = lightmeter("replay", RECORDED, cwd=tmp_path)

    assert "freeze from 1 to 1" in told.out
    assert (0, "6 decisions, 0 different\n") == (again.code, again.out)


def test_remembered_decisions(tmp_path: Path) -> None:
    """A scaler goes on from what the release before it remembered, and counts from then on."""
    (tmp_path / "decisions.jsonl").write_bytes(RECORDED.read_bytes())
    known = memory.recall(tmp_path, "null", now=1_700_002_000.0)

    assert 1 == known.standing
    assert known.state
    assert 1 == known.state.target
    assert SCHEMA == decided()["schema"]


@pytest.mark.parametrize("schema", [2, 0, "1", True, None])
def test_decision_of_a_later_schema(
    schema: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A scaler remembers nothing of a decision of a later schema, and says so by its number."""
    record = decided() | {"schema": schema}
    (tmp_path / "decisions.jsonl").write_text(json.dumps(record) + "\n")

    assert memory.Memory() == memory.recall(tmp_path, "null", now=1010.0)
    assert f"nothing is remembered: decision {record['id']!r} is of schema {str(schema)!r}, and this lightmeter reads 1 to 1" in caplog.text  # fmt: skip


@pytest.mark.parametrize("words", ["explain last --decisions", "replay --with wait=20s", "replay"])
def test_asked_for_a_later_schema(words: str, tmp_path: Path) -> None:
    """Who asks for such a decision is told which release can read it."""
    (tmp_path / "decisions.jsonl").write_text(json.dumps(decided() | {"schema": 2}) + "\n")
    ran = lightmeter(*words.split(), ".", cwd=tmp_path)

    assert "read it with the release that wrote it, or a later one" in ran.refusal()


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
