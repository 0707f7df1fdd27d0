"""How good the history is: a grade, and what it was given for. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from lightmeter.catalog import Outcome
from lightmeter.units import counted, show_duration, show_ratio


COLUMNS = ("request_id", "total_seconds")
DAY = 86_400.0
ENOUGH_DAYS, SOME_DAYS, FEW_DAYS = 28, 14, 7
MISSED, MISSED_SHARE = 20.0, 0.25
"""Silence is a gap where so many requests were to be expected, and this share of a usual day's: requests
come in sessions, so that silence is far more frequent than chance would have it."""
LEAST_GAP = 3600.0
FEW, MANY, MOST = 0.01, 0.05, 0.2
"""Shares of the rows that cost a grade each."""
HALF = 0.5
FAILED = (Outcome.ERROR, Outcome.OOM)
CLOCK_SECONDS = 1.0
"""A request that took this much less in all than on the GPU was timed by clocks that disagree."""


@dataclass(frozen=True)
class Flaw:
    """Something that is not as it should be, and the best grade that a history with it can have."""

    grade: str
    reason: str


def judge(
    frame: pd.DataFrame,
    *,
    span: tuple[datetime, datetime],
    now: datetime | None,
    before: Sequence[Flaw] = (),
) -> dict[str, Any]:
    """Return the ``quality`` of plan.json: ``grade`` A to D, and the ``flaws`` that it is due to.

    A is a month without flaws; D is a history that says little of a month. ``frame`` holds
    `demand.COLUMNS` and `COLUMNS`, ordered by arrival, and is not empty; ``span`` is what the plan
    covers; ``now`` the present, for rows of the future; ``before`` are flaws found before.
    """
    flaws = [*_length(frame, span), *_doubled(frame), *_unknown(frame), *_failed(frame), *_clocks(frame, now), *_gaps(frame), *before]  # fmt: skip
    return {
        "grade": max((flaw.grade for flaw in flaws), default="A"),
        "flaws": [asdict(flaw) for flaw in flaws],
        "rows": len(frame),
        "days": round((span[1] - span[0]).total_seconds() / DAY, 3),
    }


def _length(frame: pd.DataFrame, span: tuple[datetime, datetime]) -> Iterator[Flaw]:
    if len(frame) == 1:
        yield Flaw("D", "one request is all there is")
    seconds = (span[1] - span[0]).total_seconds()
    for days, grade in ((FEW_DAYS, "D"), (SOME_DAYS, "C"), (ENOUGH_DAYS, "B")):
        if seconds < days * DAY:
            yield Flaw(
                grade, f"{show_duration(seconds)} of history are fewer than {counted(days, 'day')}"
            )
            return


def _doubled(frame: pd.DataFrame) -> Iterator[Flaw]:
    twice = int(frame["request_id"].duplicated().sum())
    if twice:
        share = twice / len(frame)
        yield Flaw(
            "D" if share > MANY else "C",
            f"{counted(twice, 'row')} ({show_ratio(share)}) have a request_id that was there before; is something imported twice?",
        )


def _unknown(frame: pd.DataFrame) -> Iterator[Flaw]:
    lost = frame["service"].isna() | (
        frame["gpu_seconds"].fillna(frame["service_seconds"]).isna() & (frame["outcome"] == "ok")
    )
    share = float(lost.mean())
    if share > FEW:
        yield Flaw(
            "D" if share > MOST else "C" if share > MANY else "B",
            f"{show_ratio(share)} of the rows lack a service or GPU time and are left out",
        )


def _failed(frame: pd.DataFrame) -> Iterator[Flaw]:
    share = float(frame["outcome"].isin(FAILED).mean())
    if share > MOST:
        yield Flaw("C" if share > HALF else "B", f"{show_ratio(share)} of the requests failed; they count as demand, at the GPU time that they took")  # fmt: skip


def _clocks(frame: pd.DataFrame, now: datetime | None) -> Iterator[Flaw]:
    if now is not None:
        later = int((frame["arrived_at"] > pd.Timestamp(now)).sum())
        if later:
            yield Flaw("D", f"{counted(later, 'row')} arrived in the future; is the server's clock right?")  # fmt: skip
    torn = frame["total_seconds"] < frame["service_seconds"] - CLOCK_SECONDS
    if torn.mean() > FEW:
        yield Flaw("C", f"{show_ratio(float(torn.mean()))} of the requests took less time in all than on the GPU; their clocks disagree")  # fmt: skip


def _gaps(frame: pd.DataFrame) -> Iterator[Flaw]:
    """Find silences that the usual hours of the day do not explain."""
    since = (frame["arrived_at"] - frame["arrived_at"].iloc[0].floor("D")).dt.total_seconds()
    at = since.to_numpy(dtype=np.float64)
    days = max(1.0, (at[-1] - at[0]) / DAY) if len(at) else 1.0
    usual = np.bincount((at // 3600).astype(np.int64) % 24, minlength=24) / days
    through = np.concatenate([[0.0], np.cumsum(usual)])

    def expected(until: float) -> float:
        whole, rest = divmod(until, DAY)
        return float(whole * through[-1] + np.interp(rest / 3600, np.arange(25), through))

    least = max(MISSED, MISSED_SHARE * float(through[-1]))
    steps = np.diff(at)
    found = [
        at[index + 1] - at[index]
        for index in np.flatnonzero(steps > LEAST_GAP)
        if expected(at[index + 1]) - expected(at[index]) > least
    ]
    if found:
        share = sum(found) / max(at[-1] - at[0], 1.0)
        yield Flaw(
            "D" if share > HALF else "C" if share > FEW else "B",
            f"{counted(len(found), 'gap')} of {show_duration(float(sum(found)))} together, at hours that are busy otherwise; was the server down, or rows lost?",
        )
