"""Usage rows as demand: who asked for GPU time, when, and for how much. Pure."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pandas as pd

from lightmeter import replay
from lightmeter.catalog import Outcome, Priority
from lightmeter.errors import PlanError
from lightmeter.replay import Floats, Integers


COLUMNS = (
    "arrived_at",
    "service",
    "service_seconds",
    "gpu_seconds",
    "images",
    "peak_vram_bytes",
    "outcome",
    "priority",
)
BIN_SECONDS, LEAST_BINS = 300.0, 20
"""``busy_gpus_p95`` is over bins of at most this width, and at least so many of them."""
FEW = 16
"""The requests of less than one of so many services are found by sorting theirs, not by a look at all."""
REFUSED = (Outcome.SHED, Outcome.TIMEOUT, Outcome.CANCELLED)
DELIVERED = (Outcome.OK, Outcome.ANOMALOUS)


@dataclass(frozen=True)
class Demand:
    """The requests that used a GPU, in order of arrival.

    ``arrivals`` is seconds since ``start``, ``seconds`` the GPU time of each, ``owner`` the index
    of its service in ``services``; all have shape (n,). ``peak_vram_bytes`` is by service, None
    where the history does not know. ``left_out`` counts the rows without a service or GPU time.
    """

    start: datetime
    end: datetime
    arrivals: Floats
    seconds: Floats
    owner: Integers
    images: Floats
    services: tuple[str, ...]
    peak_vram_bytes: tuple[int | None, ...]
    left_out: int
    refused: int
    """Requests turned away or given up unserved; their GPU time is taken to be their service's
    median."""
    shared_time: int
    """Rows whose GPU time is their share of a batch; the others' is the whole service time."""
    ranks: Integers | None = None
    """(n,), 0 for interactive requests and 1 for batch ones; None where all are alike."""

    @property
    def span_seconds(self) -> float:
        """Length of the window, seconds."""
        return (self.end - self.start).total_seconds()

    @property
    def busy_gpus(self) -> float:
        """Mean number of busy GPUs, the offered load in erlangs."""
        return float(self.seconds.sum()) / self.span_seconds

    @property
    def judged(self) -> npt.NDArray[np.bool_]:
        """Mask the requests that the objective is about: the interactive ones, if there are any."""
        if self.ranks is None:
            return np.ones(len(self.arrivals), dtype=np.bool_)
        mask: npt.NDArray[np.bool_] = self.ranks == self.ranks.min()
        return mask

    def rows(self, service: int) -> Integers:
        """Indices of the requests of one service, in order of arrival."""
        order, bounds = self._by_service
        return order[bounds[service] : bounds[service + 1]]

    def rows_of(self, services: Sequence[int]) -> Integers:
        """Indices of the requests of these services together, in order of arrival."""
        if len(services) * FEW < len(self.services):
            return np.sort(np.concatenate([self.rows(service) for service in services]))
        asked = np.zeros(len(self.services), dtype=np.bool_)
        asked[list(services)] = True
        return np.flatnonzero(asked[self.owner])

    @functools.cached_property
    def _by_service(self) -> tuple[Integers, Integers]:
        order = replay.order_of(self.owner)
        counts = np.bincount(self.owner, minlength=len(self.services))
        return order, np.concatenate([[0], np.cumsum(counts)])

    def ranks_of(self, rows: Integers) -> Integers | None:
        """Ranks of the requests at these rows; None where they are alike."""
        if self.ranks is None or not len(rows):
            return None
        found: Integers = self.ranks[rows]
        return None if found.min() == found.max() else found

    def of(self, service: int) -> npt.NDArray[np.bool_]:
        """Mask the requests of one service."""
        mask: npt.NDArray[np.bool_] = self.owner == service
        return mask


def month_window(month: str) -> tuple[datetime, datetime]:
    """Return [first instant, first instant of the next) of ``YYYY-MM``, in UTC.

    Raises:
        PlanError: not a month.
    """
    try:
        first = datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)
        return first, (first + timedelta(days=32)).replace(day=1)
    except (ValueError, OverflowError) as error:
        raise PlanError(f"month {month!r} is no month; write it like 2026-10") from error


Window = tuple[datetime | None, datetime | None]
"""Start and end of what the history covers; None is the first arrival, the end of the last work."""


def covered(month: str, extent: tuple[datetime, datetime] | None) -> Window:
    """Return the part of a month that a history, whose first and last arrival are given, covers."""
    first, after = month_window(month)
    if extent is None:
        return None, None
    return first if extent[0] < first else None, after if extent[1] >= after else None


def from_frame(frame: pd.DataFrame, window: Window = (None, None)) -> Demand:
    """Build the demand from history rows with `COLUMNS`, ordered by arrival.

    GPU time is the request's share of its batch where the history knows it, else the service time,
    and no more of it than lies in the window. A refused request counts with its service's median.

    Raises:
        PlanError: no row used a GPU.
    """
    known = frame["gpu_seconds"].fillna(frame["service_seconds"])
    refused = frame["outcome"].isin(REFUSED) & ~(known > 0)
    usual = known[known > 0].groupby(frame["service"]).median()
    known = known.where(~refused, frame["service"].map(usual))
    usable = frame["service"].notna() & (known > 0)
    used = frame[usable]
    if used.empty:
        raise PlanError(
            f"{_none_used(frame, refused, ~(known > 0))} in this period; record or import more, or name another --month"
        )
    start = window[0] or frame["arrived_at"].iloc[0].to_pydatetime()
    since = (used["arrived_at"] - pd.Timestamp(start)).dt.total_seconds()
    arrivals: Floats = np.asarray(since, dtype=np.float64)
    seconds: Floats = np.asarray(known[usable], dtype=np.float64)
    end = window[1] or start + timedelta(seconds=float((arrivals + seconds).max()))
    seconds = np.minimum(seconds, (end - start).total_seconds() - arrivals)
    delivered = used["outcome"].isin(DELIVERED) | used["outcome"].isna()
    owner, names = pd.factorize(used["service"], sort=True)
    peaks = used.groupby("service")["peak_vram_bytes"].max()
    return Demand(
        start=start,
        end=end,
        arrivals=arrivals,
        seconds=seconds,
        owner=owner.astype(np.int64),
        images=np.asarray(used["images"].fillna(1).where(delivered, 0), dtype=np.float64),
        services=tuple(str(name) for name in names),
        peak_vram_bytes=tuple(None if pd.isna(peaks[name]) else int(peaks[name]) for name in names),
        left_out=int((~usable).sum()),
        refused=int((usable & refused).sum()),
        shared_time=int(used["gpu_seconds"].notna().sum()),
        ranks=ranks_among(used["priority"]),
    )


def ranks_among(priorities: pd.Series) -> Integers | None:
    """Ranks of requests, (n,): 0 interactive, 1 batch; None where all are alike."""
    batch = np.asarray(priorities == Priority.BATCH, dtype=np.int64)
    return batch if 0 < batch.sum() < len(batch) else None


def _none_used(frame: pd.DataFrame, refused: pd.Series, timeless: pd.Series) -> str:
    if frame.empty:
        return "the history has no rows"
    reasons = (
        (refused, "were refused or given up"),
        (timeless & ~refused, "tell no GPU time above 0 and up to a day"),
        (frame["service"].isna(), "name no service"),
    )
    why = ", ".join(f"{int(rows.sum())} {reason}" for rows, reason in reasons if rows.any())
    return f"none of the history's {len(frame)} rows used a GPU ({why})"


def busy_between(starts: Floats, ends: Floats, edges: Floats) -> Floats:
    """Time covered by the intervals [start, end) within each bin; shape (len(edges) - 1,), seconds."""
    return np.diff(_ramp(starts, edges) - _ramp(ends, edges))


def _ramp(times: Floats, at: Floats) -> Floats:
    """Sum of max(0, t - time) over all times, for each t."""
    ordered = np.sort(times)
    count = np.searchsorted(ordered, at, side="right")
    total = np.concatenate([[0.0], np.cumsum(ordered)])
    found: Floats = count * at - total[count]
    return found


def describe(demand: Demand) -> list[dict[str, object]]:
    """Say of each service what it used: the ``services`` of plan.json, largest user first."""
    bins = max(LEAST_BINS, int(np.ceil(demand.span_seconds / BIN_SECONDS)))
    edges = np.linspace(0.0, demand.span_seconds, bins + 1)
    found = []
    for index, name in enumerate(demand.services):
        rows = demand.rows(index)
        arrivals, seconds = demand.arrivals[rows], demand.seconds[rows]
        busy = busy_between(arrivals, arrivals + seconds, edges) / (edges[1] - edges[0])
        found.append(
            {
                "name": name,
                "requests": len(rows),
                "gpu_seconds": round(float(seconds.sum()), 3),
                "busy_gpus_mean": round(float(seconds.sum()) / demand.span_seconds, 6),
                "busy_gpus_p95": round(float(np.quantile(busy, 0.95)), 6),
                "vram_peak_bytes": demand.peak_vram_bytes[index],
            }
        )
    return sorted(found, key=lambda service: -float(str(service["gpu_seconds"])))
