"""Where a history begins in earnest: the first days of a service that nobody used yet. Pure."""

from __future__ import annotations

import numpy as np
import pandas as pd

from planner.certainty import DAY
from planner.demand import Demand


NEW_SHARE, NEW_REQUESTS = 0.75, 20
"""A service that nobody asked for in so much of the history and that has so many requests is a newcomer."""
NAMED = 5
RAMP_SHARE = 0.2
"""A first day with less than this share of the usual day's work is no usual day."""
LEAST_DAYS = 3
"""Of a shorter rest nobody knows what is usual."""


def ramp_days(work: pd.Series[float]) -> int:
    """Count the first days that belong to no steady service; ``work`` is by day, in order.

    They end where a day does a fifth of what the median day after it does; and they are less than
    every day after them, so that the weekend that a history begins with is none. The last day is
    held against nobody, since it may not be whole.
    """
    amounts = work.to_numpy(dtype=np.float64)
    for first in range(len(amounts) - LEAST_DAYS, 0, -1):
        before, after = amounts[:first], amounts[first:]
        if before.max() < min(RAMP_SHARE * float(np.median(after)), after[:-1].min()):
            return first
    return 0


def since(frame: pd.DataFrame) -> pd.Timestamp | None:
    """Return the midnight that the steady part of a history begins at, None where all of it is.

    ``frame`` holds `demand.COLUMNS`, ordered by arrival.
    """
    if frame.empty:
        return None
    days = frame["arrived_at"].dt.floor("D")
    seconds = frame["gpu_seconds"].fillna(frame["service_seconds"])
    first, last = days.iloc[0], days.iloc[-1]
    calendar = pd.date_range(first, last, freq="D")
    work = seconds.groupby(days).sum().reindex(calendar, fill_value=0.0)
    ramp = ramp_days(work)
    return calendar[ramp] if ramp else None


def newcomers(demand: Demand) -> list[str]:
    """Say which services came late: a month is planned for the little that the history has of them."""
    counts = np.bincount(demand.owner, minlength=len(demand.services))
    first = np.full(len(demand.services), np.inf)
    np.minimum.at(first, demand.owner, demand.arrivals)
    late = np.flatnonzero((first > NEW_SHARE * demand.span_seconds) & (counts >= NEW_REQUESTS))
    if not len(late) or demand.span_seconds < LEAST_DAYS * DAY:
        return []
    largest = late[np.argsort(-counts[late], kind="stable")]
    names = ", ".join(demand.services[one] for one in largest[:NAMED])
    more = f" and {len(late) - NAMED} more" if len(late) > NAMED else ""
    return [f"first asked for in the last quarter of the history: {names}{more}; expect more of it than is planned for here"]  # fmt: skip
