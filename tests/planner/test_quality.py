"""How good the history is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from lightmeter.errors import PlanError
from lightmeter.rows import UsageRow
from planner import quality
from support import plans
from support.rows import DAY, START, every, frame, row


HOUR = 3600.0
MONTH = every(HOUR / 2, 48 * 30)


def judge(usage: list[UsageRow], days: float = 30.0, now: float | None = None) -> dict[str, Any]:
    """Grade rows that span so many days, looked at so many seconds after their beginning."""
    span = START, START + timedelta(days=days)
    at = None if now is None else START + timedelta(seconds=now)
    return quality.judge(frame(usage), span=span, now=at)


def only(found: dict[str, Any]) -> tuple[str, str]:
    """Return the grade and its only reason."""
    [flaw] = found["flaws"]
    assert found["grade"] == flaw["grade"]
    return flaw["grade"], flaw["reason"]


def test_good() -> None:
    """A whole month without flaws is an A."""
    assert {"grade": "A", "flaws": [], "rows": 1440, "days": 30.0} == judge(MONTH, now=31 * DAY)


@pytest.mark.parametrize(("days", "grade"), [(27.9, "B"), (13.9, "C"), (6.9, "D"), (28.0, "A")])
def test_length(days: float, grade: str) -> None:
    """The shorter, the worse, and that is said."""
    found = judge(MONTH, days)

    assert grade == found["grade"]
    assert (grade == "A") == (not found["flaws"])


def test_twice() -> None:
    """Rows imported twice are found."""
    assert ("D", "30 rows (2.0 %)") != only(judge([*MONTH, *MONTH[:30]]))
    assert "C" == only(judge([*MONTH, *MONTH[:30]]))[0]
    assert "D" == only(judge([*MONTH, *MONTH]))[0]
    assert "request_id that was there before" in only(judge([*MONTH, *MONTH]))[1]


@pytest.mark.parametrize(("every_", "grade"), [(50, "B"), (10, "C"), (4, "D")])
def test_nulls(every_: int, grade: str) -> None:
    """Rows without a service or GPU time cost a grade by their share."""
    usage = [row(HOUR / 2 * k, service=None if k % every_ == 0 else "a") for k in range(48 * 30)]

    assert grade == only(judge(usage))[0]
    assert "lack a service or GPU time" in only(judge(usage))[1]


def test_future() -> None:
    """Rows of the future mean a clock that is wrong."""
    assert ("D", "720 rows arrived in the future; is the server's clock right?") == only(
        judge(MONTH, now=15 * DAY - 1)
    )


def test_clocks() -> None:
    """A request that took less in all than on the GPU was timed by clocks that disagree."""
    usage = [row(HOUR / 2 * k, 10.0, total_seconds=5.0 if k % 20 == 0 else 12.0) for k in range(48 * 30)]  # fmt: skip

    assert ("C", True) == (only(judge(usage))[0], "clocks disagree" in only(judge(usage))[1])


def test_gap() -> None:
    """A day that is missing is found; nights and weekends that are quiet each week are not."""
    lost = [one for one in MONTH if not 10 * DAY <= (one.arrived_at - START).total_seconds() < 11 * DAY]  # fmt: skip
    nights = [one for one in MONTH if one.arrived_at.hour >= 12]

    assert ("C", True) == (only(judge(lost))[0], "1 gap of 24.5 h together" in only(judge(lost))[1])
    assert [] == judge(nights)["flaws"]
    years = [row(at, 10.0) for k in range(600) for at in (k * HOUR, 1000 * DAY + k * HOUR)]
    assert "D" == only(judge(sorted(years, key=lambda one: one.arrived_at), days=1025))[0]


def test_one_request() -> None:
    """One request is a D, not a crash."""
    found = judge([row(0.0)], days=10 / DAY)

    assert "D" == found["grade"]
    assert "one request is all there is" in [flaw["reason"] for flaw in found["flaws"]]
    assert "D" == plans.document([row(0.0)])["quality"]["grade"]


def test_no_data() -> None:
    """A month without data is an error of one line."""
    with pytest.raises(PlanError, match="the history has no rows in this period"):
        plans.document(frame([]))


def test_in_plan() -> None:
    """The plan carries its grade."""
    assert ["C", "D"] == [
        plans.document(every(HOUR, 24 * days))["quality"]["grade"] for days in (10, 5)
    ]
