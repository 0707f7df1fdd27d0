"""``lightmeter replay --with``: recorded decisions under other settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lightmeter.scaling import Observations, Settings, decide, fresh
from lightmeter.simulate import again
from support.cli import lightmeter


BEGIN = 1.7e9
QUIET = Observations(0, 0, 0, 0, 0.0, 0.0, active_users=0, service_seconds=20.0, cold_start_seconds=90.0)  # fmt: skip


def day(replicas: int = 0) -> list[dict[str, Any]]:
    """Six hours of looks each minute, a request in flight for the first half of each hour.

    Somebody else scales: ``replicas`` always stand.
    """
    state, records = fresh(Settings()), []
    for minute in range(360):
        busy = minute % 60 < 30
        seen = QUIET._replace(ready=replicas, in_flight=int(busy), rate_long=0.03 * busy, active_users=int(busy))  # fmt: skip
        decision = decide(state, seen, BEGIN + 60 * minute)
        state = decision.after
        records.append(decision.record("shop"))
    return records


def wanted(**changes: Any) -> again.Change:
    """Settings with some of them changed."""
    return lambda settings: settings._replace(**changes)


def test_same_settings() -> None:
    """Under the settings that were set nothing differs, however often they are named."""
    found = again.looks(day(), wanted(price=900.0))

    assert 0 == again.summary(found)["different"]
    assert [one.as_set.to for one in found] == [one.other.to for one in found]


def test_price_of_holding() -> None:
    """With longer holds the replica stays through the silent half hours: more GPU time, fewer changes."""
    found = again.summary(again.looks(day(5), wanted(hold_least=7200.0)))
    thrifty = again.summary(again.looks(day(5), wanted(hold_least=0.0, price=0.0, turn_price=0.0)))

    assert pytest.approx(5 * 359 / 60) == found["standing"]["gpu_hours"]
    assert 0 == found["standing"]["operations"]
    assert thrifty["other"]["gpu_hours"] < found["as_set"]["gpu_hours"] < found["other"]["gpu_hours"]  # fmt: skip
    assert thrifty["other"]["operations"] > found["other"]["operations"]
    assert found["as_set"] == thrifty["as_set"]


def test_own_fleet() -> None:
    """What is asked for is followed, ready after its start; who else scaled changes nothing."""
    alone, beside = ([one.other.to for one in again.looks(day(n), wanted(price=901.0))][60:] for n in (0, 3))  # fmt: skip
    second = again.looks(day(), wanted())[1].other.seen

    assert alone == beside
    assert (0, 2) == (second.ready, second.starting)


def test_gap() -> None:
    """Hours in which nobody looked are not counted."""
    records = day()
    found = again.summary(again.looks(records[:60] + records[180:], wanted()))

    assert pytest.approx((59 + 179) / 60) == found["hours"]


def test_unseen() -> None:
    """A fleet that could not be seen stays unseen, and is held."""
    seen = QUIET._replace(ready=None)
    record = decide(fresh(Settings()), seen, BEGIN).record("shop")

    assert None is again.looks([record], wanted())[0].other.seen.ready


def test_command(tmp_path: Path) -> None:
    """The table says what would have been, for each target, and JSON says it with every change."""
    lines = [{**one, "target": target} for one in day(2) for target in ("shop", "zoo")]
    (tmp_path / "decisions.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    options = (
        "replay",
        tmp_path,
        "--with",
        "hold_least=2h,violation_price=300",
        "--with",
        "wait=20s",
    )
    ran = lightmeter(*options, cwd=tmp_path)
    found = json.loads(lightmeter(*options, "--json", cwd=tmp_path).out)

    assert (0, "") == (ran.code, ran.err)
    assert "target shop: 360 decisions over 6.0 h" in ran.out
    assert "2 instead of 1: 2 stay: in use" in ran.out
    assert {"hold_least": "2h", "violation_price": "300", "wait": "20s"} == found["with"]
    assert ["shop", "zoo"] == [one["target"] for one in found["targets"]]
    assert found["targets"][0]["other"]["gpu_hours"] > found["targets"][0]["as_set"]["gpu_hours"]
    assert {"at", "id", "standing", "as_set", "other", "reason"} == found["targets"][0]["changes"][0].keys()  # fmt: skip


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("wait", "'wait' is no KEY=VALUE"),
        ("wiat=3", "'wiat' is no setting of a decision"),
        ("wait=soon", "scale.wait"),
        ("violation_price=-1", "scale.violation_price is '-1'"),
        ("min=9", "min must not be above max"),
    ],
)
def test_refused(tmp_path: Path, given: str, said: str) -> None:
    """A setting that is none, or out of bounds, is one line."""
    (tmp_path / "decisions.jsonl").write_text(json.dumps(day()[0]) + "\n")

    assert said in lightmeter("replay", tmp_path, "--with", given, cwd=tmp_path).refusal()


def test_nothing(tmp_path: Path) -> None:
    """A folder without decisions is said to be one, and so is a line that lacks its state."""
    ran = lightmeter("replay", tmp_path, "--with", "wait=20s", cwd=tmp_path)
    assert "has no decisions" in ran.refusal()

    (tmp_path / "decisions.jsonl").write_text('{"id": "x", "target": "y"}\n')
    ran = lightmeter("replay", tmp_path, "--with", "wait=20s", cwd=tmp_path)
    assert "lacks what it was made from" in ran.refusal()
