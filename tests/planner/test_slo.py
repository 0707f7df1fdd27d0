"""The objective: how it is written, and which waits keep it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightmeter.errors import PlanError
from planner import options, slo
from planner.slo import Slo


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("p95_wait=30s,attainment=0.95", Slo(30.0, 0.95)),
        ("p95_wait=30s", Slo(30.0, 0.95)),
        ("attainment=0.99, p95_wait=1.5m", Slo(90.0, 0.99)),
        ("p95_wait=250ms", Slo(0.25, 0.95)),
        ("p95_wait=45", Slo(45.0, 0.95)),
        ("p95_wait=0s", Slo(0.0, 0.95)),
    ],
)
def test_parse(text: str, expected: Slo) -> None:
    """The objective is written as a limit and a share, in any order; the share may be left out."""
    assert expected == slo.parse(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not understood at ''"),
        ("p95_wiat=30s", "is not understood at 'p95_wiat=30s'; write it like p95_wait=30s"),
        ("attainment=0.95", "has no p95_wait"),
        ("p95_wait=soon", "duration 'soon' is not understood"),
        ("p95_wait", "duration '' is not understood"),
        ("p95_wait=-3s", "duration '-3s' is not understood"),
        ("p95_wait=30s,attainment=95", "attainment is 95.0; it must lie between 0 and 1"),
        ("p95_wait=30s,attainment=0", "attainment is 0.0"),
        ("p95_wait=30s,attainment=nan", "attainment is nan"),
        ("p95_wait=30s,attainment=95%", "attainment is no number"),
    ],
)
def test_refused(text: str, said: str) -> None:
    """What is not understood is refused by name."""
    with pytest.raises(PlanError, match=f"^objective '{text}'.*{said}"):
        slo.parse(text)


def test_target() -> None:
    """A 95th percentile is asked for, so a lower share does not loosen it; a higher one tightens."""
    assert [0.95, 0.95, 0.99] == [Slo(1.0, share).target for share in (0.5, 0.95, 0.99)]


def test_within() -> None:
    """A wait of exactly the limit keeps it; one microsecond of rounding does too, more does not."""
    waits = np.array([0.0, 30.0, 30.0 + 5e-7, 30.001, 99.0])

    assert [True, True, True, False, False] == Slo(30.0, 0.95).within(waits).tolist()


@given(st.lists(st.integers(0, 60), min_size=1, max_size=300))
def test_percentile_and_share(seconds: list[int]) -> None:
    """The 95th percentile keeps the limit exactly when 95 % of the requests do."""
    waits = np.array(seconds, dtype=np.float64)
    share = float(Slo(30.0, 0.95).within(waits).mean())

    assert (share >= 0.95) == (options.p95(waits) <= 30.0)


@pytest.mark.parametrize("count", [20, 60, 100, 140, 5000])
def test_percentile_at_the_edge(count: int) -> None:
    """With exactly 95 % within the limit the percentile is within it, with one fewer it is not."""
    kept = count * 95 // 100
    waits = np.where(np.arange(count) < kept, 30.0, 31.0)

    assert 30.0 == options.p95(waits)
    assert 31.0 == options.p95(np.where(np.arange(count) < kept - 1, 30.0, 31.0))
