"""Where a history begins in earnest."""

from __future__ import annotations

import pandas as pd
import pytest

from planner import steady
from support import plans
from support.rows import DAY, START, every, frame


HOUR = 3600.0


@pytest.mark.parametrize(
    ("work", "days"),
    [
        ([2, 3, 2, 1, 15, 30, 43, 40], 4),
        ([2, 3, 2, 1, 15, 30, 43], 4),
        ([40, 42, 38, 41, 40, 39], 0),
        ([1, 40, 42, 38, 41, 0.1], 1),  # the last day may not be whole
        ([4, 5, 40, 40, 40, 40, 40, 4, 5, 40, 40, 40, 40, 40], 0),  # it begins with a weekend
        ([2, 2, 40, 40], 0),  # two days tell nobody what is usual
        ([9, 40, 40, 40, 40], 0),
        ([], 0),
        ([1], 0),
    ],
)
def test_ramp_days(work: list[float], days: int) -> None:
    """Days of a start-up are counted; a quiet weekend is no start-up."""
    assert days == steady.ramp_days(pd.Series(work, dtype=float))


def usage(first_days: float) -> pd.DataFrame:
    """A service that nobody used for so many days, and then one request every half hour."""
    quiet = every(DAY / 2, int(2 * first_days), seconds=1.0)
    return frame([*quiet, *every(HOUR / 2, 48 * 10, first=first_days * DAY, seconds=60.0)])


def test_since() -> None:
    """The plan begins with the first usual day."""
    assert pd.Timestamp(START) + pd.Timedelta(days=4) == steady.since(usage(4))
    assert steady.since(usage(0)) is None
    assert steady.since(usage(0).iloc[:0]) is None


def test_left_out() -> None:
    """A start-up is left out of the plan, and that is said; on request it counts."""
    found = plans.document(usage(4))["generated_from"]
    kept = plans.document(usage(4), keep_ramp_up=True)["generated_from"]

    assert ("2026-10-05T00:00:00+00:00", 480) == (found["first"], found["requests"])
    assert [
        "8 requests before 2026-10-05 are left out: days with less than 20.0 % of the usual work; --keep-ramp-up counts them"
    ] == found["notes"]
    assert (488, []) == (kept["requests"], kept["notes"])
