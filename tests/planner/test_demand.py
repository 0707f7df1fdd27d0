"""Usage rows as demand: what counts, for how much, and over which time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightmeter.errors import PlanError
from lightmeter.history import History
from lightmeter.rows import UsageRow
from planner import demand
from support.plans import demand_of
from support.rows import DAY, START, every, folder, frame, row


TIMES = st.lists(st.tuples(st.floats(0, 100), st.floats(0, 50)), max_size=20)


@pytest.mark.parametrize(
    ("month", "first", "days"), [("2026-10", 1, 31), ("2026-12", 1, 31), ("2028-02", 1, 29)]
)
def test_month(month: str, first: int, days: int) -> None:
    """A month runs from its first instant to that of the next, in UTC, leap years included."""
    start, end = demand.month_window(month)

    assert datetime.fromisoformat(f"{month}-{first:02}T00:00:00+00:00") == start
    assert timedelta(days=days) == end - start


@pytest.mark.parametrize("month", ["2026-13", "October", "2026-10-01", "", "2026/10"])
def test_no_month(month: str) -> None:
    """What is no month is refused, with the form."""
    with pytest.raises(PlanError, match=f"month '{month}' is no month; write it like 2026-10"):
        demand.month_window(month)


def test_month_of_a_history(tmp_path: Path) -> None:
    """A month's plan takes that month's requests: its first instant, not the next month's."""
    usage = [row(-1.0), row(0.0), row(31 * DAY - 1), row(31 * DAY)]
    since, until = demand.month_window("2026-10")
    found = History(folder(tmp_path, usage)).frame(demand.COLUMNS, since=since, until=until)

    assert [0.0, 31 * DAY - 1] == demand.from_frame(found, (since, until)).arrivals.tolist()


def test_window() -> None:
    """A covered month is 31 days long even if it begins and ends with days of silence."""
    found = demand_of([row(2.9 * DAY, 8.0), row(27.1 * DAY, 8.0)], days=31)

    assert (START, 31 * DAY) == (found.start, found.span_seconds)
    assert 16 / (31 * DAY) == found.busy_gpus


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (-5, 40, (START, START + timedelta(days=31))),
        (3, 40, (None, START + timedelta(days=31))),
        (-5, 20, (START, None)),
        (3, 20, (None, None)),
    ],
)
def test_covered(first: int, last: int, expected: demand.Window) -> None:
    """Of a month, only what lies between the first and last row of the history is judged."""
    extent = START + timedelta(days=first), START + timedelta(days=last)

    assert expected == demand.covered("2026-10", extent)


def test_no_window() -> None:
    """Without a month the history runs from its first arrival to the end of its last service."""
    found = demand_of([row(50.0, 100.0), row(60.0, 7.0)])

    assert START + timedelta(seconds=50) == found.start
    assert (100.0, 1.07) == (found.span_seconds, found.busy_gpus)
    assert [0.0, 10.0] == found.arrivals.tolist()


def test_left_out() -> None:
    """Rows without a service or without GPU time are counted, not planned; failures are planned."""
    usage = [
        row(0.0),
        row(1.0, None, outcome="invalid"),
        row(2.0, 0.0),
        row(3.0, service=None),
        row(4.0, outcome="error"),
        row(5.0, outcome=None),
    ]
    found = demand_of(usage)

    assert [0.0, 4.0, 5.0] == found.arrivals.tolist()
    assert 3 == found.left_out


def test_share_of_a_batch() -> None:
    """A request that rode in a batch counts with its share, not with the whole batch's time."""
    batch = [row(0.0, 12.0, gpu_seconds=3.0, batch_size=4, request_id=f"{k}") for k in range(4)]
    found = demand_of([*batch, row(20.0, 5.0)])

    assert [3.0, 3.0, 3.0, 3.0, 5.0] == found.seconds.tolist()
    assert 4 == found.shared_time
    assert 0 == found.left_out


def test_owner() -> None:
    """Each request belongs to its service; memory is the highest seen, or unknown."""
    usage = [
        row(0.0, service="b", peak_vram_bytes=5),
        row(1.0, service="a"),
        row(2.0, service="b", peak_vram_bytes=9, images=4),
        row(3.0, service="b"),
    ]
    found = demand_of(usage)

    assert ("a", "b") == found.services
    assert [1, 0, 1, 1] == found.owner.tolist()
    assert (None, 9) == found.peak_vram_bytes
    assert [1.0, 1.0, 4.0, 1.0] == found.images.tolist()
    assert [False, True, False, False] == found.of(0).tolist()


@pytest.mark.parametrize(
    ("usage", "said"),
    [
        ([], "the history has no rows in this period"),
        (
            [row(0.0, None)],
            r"1 rows used a GPU \(1 tell no GPU time above 0 and up to a day\) in this",
        ),
        ([row(0.0, service=None)], r"1 rows used a GPU \(1 name no service\) in this period"),
    ],
)
def test_nothing_used(usage: list[UsageRow], said: str) -> None:
    """A history in which nothing used a GPU cannot be planned, and says how many rows it has."""
    with pytest.raises(PlanError, match=said):
        demand.from_frame(frame(usage))


@given(TIMES)
def test_busy_between(spans: list[tuple[float, float]]) -> None:
    """Busy time in a bin is what the intervals cover of it, each for itself."""
    edges = np.array([0.0, 10.0, 10.5, 60.0, 200.0])
    starts = np.array([start for start, _ in spans])
    ends = np.array([start + length for start, length in spans])
    found = demand.busy_between(starts, ends, edges)

    for low, high, busy in zip(edges, edges[1:], found, strict=False):
        parts = (
            max(0.0, min(high, end) - max(low, start))
            for start, end in zip(starts, ends, strict=True)
        )
        assert sum(parts) == pytest.approx(busy, abs=1e-9)


def test_describe() -> None:
    """The services are listed by what they used, with mean and peak of the GPUs kept busy."""
    # of 20 bins of 5 min, b is busy for 30 s in each, a for 150 s of the first and 1 s of the last
    usage = [*every(300, 20, seconds=30, service="b"), row(10.0, 150.0, service="a")]
    found = demand.describe(demand_of([*usage, row(5999.0, 1.0, service="a")]))

    assert [
        {
            "name": "b",
            "requests": 20,
            "gpu_seconds": 600.0,
            "busy_gpus_mean": 0.1,
            "busy_gpus_p95": 0.1,
            "vram_peak_bytes": None,
        },
        {
            "name": "a",
            "requests": 2,
            "gpu_seconds": 151.0,
            "busy_gpus_mean": round(151 / 6000, 6),
            "busy_gpus_p95": round(
                1 / 300 + 0.05 * (0.5 - 1 / 300), 6
            ),  # between the last two of 20
            "vram_peak_bytes": None,
        },
    ] == found


def test_clock() -> None:
    """A history without a month keeps its place in the day, in UTC."""
    assert datetime(2026, 10, 1, 0, 0, 50, tzinfo=UTC) == demand_of([row(50.0)]).start


def test_refused() -> None:
    """Requests that were shed, timed out or left count as demand, with their service's median."""
    served = [row(float(at), seconds) for at, seconds in enumerate((2.0, 4.0, 9.0))]
    lost = [
        row(10.0 + at, None, outcome=name)
        for at, name in enumerate(("shed", "timeout", "cancelled"))
    ]
    invalid, stranger = (
        row(20.0, None, outcome="invalid"),
        row(21.0, None, outcome="shed", service="z"),
    )
    found = demand_of([*served, *lost, invalid, stranger], days=1)

    assert [2.0, 4.0, 9.0, 4.0, 4.0, 4.0] == found.seconds.tolist()
    assert (3, 2) == (found.refused, found.left_out)
    assert [1, 1, 1, 0, 0, 0] == found.images.tolist()


def test_clipped() -> None:
    """GPU time counts as far as it lies within the window that is judged."""
    found = demand_of([row(0.0, 10.0), row(DAY - 5.0, 3 * DAY)], days=1)

    assert [10.0, 5.0] == found.seconds.tolist()
    assert found.busy_gpus < 1
