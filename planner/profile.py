"""When the demand is there: by hour of the week, by day, and for how much of the time. Pure."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from lightmeter.replay import Floats
from planner.demand import BIN_SECONDS, LEAST_BINS, Demand, busy_between


HOUR, DAY = 3600, 86_400
POINTS = 101
LEAST_COVER = 0.5
"""An hour or a day at the edge of the history counts if this share of it is in the history."""


def block(demand: Demand, discount: float) -> dict[str, Any]:
    """Return the ``profile`` of plan.json; every figure is GPUs kept busy by requests served on arrival.

    ``by_hour`` has 7 rows from Monday on, each of 24 hours, UTC, null where the history has none;
    ``by_day`` the mean of each UTC day; ``duration`` the GPUs that were exceeded for a share of the
    time, in bins of five minutes; ``reserve`` how many GPUs are busy for a larger share of the time
    than 1 - ``discount``, from which on renting one around the clock is cheaper than starting it.
    """
    usual = _busy(demand, *_bins(demand))
    share = 1 - discount
    return {
        "by_hour": _by_hour(demand),
        "by_day": _by_day(demand),
        "duration": [
            {"share": round(k / (POINTS - 1), 4), "busy_gpus": round(float(gpus), 6)}
            for k, gpus in enumerate(np.quantile(usual, np.linspace(1, 0, POINTS)))
        ],
        "reserve": {"share": round(share, 6), "gpus": reserve(usual, share)},
    }


def reserve(busy: Floats, share: float) -> int:
    """Count the GPUs that are in use for more than a share of the time; ``busy`` (bins,)."""
    count = 0
    while count < busy.max() and float(np.clip(busy - count, 0, 1).mean()) > share:
        count += 1
    return count


def _bins(demand: Demand) -> tuple[Floats, Floats]:
    count = max(LEAST_BINS, math.ceil(demand.span_seconds / BIN_SECONDS))
    edges = np.linspace(0.0, demand.span_seconds, count + 1)
    return edges, np.diff(edges)


def _whole(demand: Demand, step: int) -> tuple[Floats, Floats, list[datetime]]:
    """Edges at whole hours or days of UTC, cut to the history; what each covers; where each begins."""
    begin, end = demand.start.timestamp(), demand.end.timestamp()
    first = int(begin // step) * step
    marks = np.arange(first, end + step, step, dtype=np.float64)
    edges = np.clip(marks, begin, end) - begin
    names = [datetime.fromtimestamp(at, UTC) for at in marks[:-1].tolist()]
    return edges, np.diff(edges), names


def _busy(demand: Demand, edges: Floats, cover: Floats) -> Floats:
    worked = busy_between(demand.arrivals, demand.arrivals + demand.seconds, edges)
    found: Floats = worked / np.maximum(cover, 1e-9)
    return found


def _by_hour(demand: Demand) -> list[list[float | None]]:
    edges, cover, names = _whole(demand, HOUR)
    worked = _busy(demand, edges, cover) * cover
    cell = np.array([name.weekday() * 24 + name.hour for name in names])
    seconds = np.bincount(cell, weights=worked, minlength=168)
    seen = np.bincount(cell, weights=cover, minlength=168)
    mean = [
        round(float(work / time), 6) if time >= LEAST_COVER * HOUR else None
        for work, time in zip(seconds, seen, strict=True)
    ]
    return [mean[24 * day : 24 * (day + 1)] for day in range(7)]


def _by_day(demand: Demand) -> list[dict[str, Any]]:
    edges, cover, names = _whole(demand, DAY)
    busy = _busy(demand, edges, cover)
    return [
        {"date": f"{name:%Y-%m-%d}", "busy_gpus": round(float(gpus), 6)}
        for name, gpus, seconds in zip(names, busy, cover, strict=True)
        if seconds >= LEAST_COVER * timedelta(days=1).total_seconds()
    ]
