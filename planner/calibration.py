"""Predicted waits against observed ones, under the set-up that the history saw. Pure.

Services that shared a GPU form a pool; the GPUs of a pool are those that worked for it on each day.
The same kernel and the same GPU times as the plan's then say how long each request should have
waited, and ``queue_seconds`` how long it did. A plan whose kernel cannot tell the past is not advised
upon.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from lightmeter import replay
from lightmeter.replay import Floats
from lightmeter.units import show_duration, show_ratio
from planner.demand import ranks_among
from planner.slo import Slo


COLUMNS = ("queue_seconds", "gpu_uuid")
QUANTILES = (0.5, 0.9, 0.95, 0.99)
LEAST_WAITS = 100


@dataclass(frozen=True)
class Quantile:
    """A quantile of the waits as predicted and as observed, seconds."""

    q: float
    predicted_seconds: float
    observed_seconds: float
    error_seconds: float


@dataclass(frozen=True)
class Calibration:
    """How well the present was predicted.

    ``error`` is that of the 95th percentile as a share of the largest of predicted, observed and the
    objective's limit; None where the history holds no waits. ``holds`` tells whether to go on.
    """

    reason: str
    limit: float
    requests: int = 0
    gpus: int = 0
    error: float | None = None
    quantiles: tuple[Quantile, ...] = ()

    @property
    def holds(self) -> bool:
        """Tell whether advice may rest on the replay: unless it was seen to be off."""
        return self.error is None or self.error <= self.limit

    def block(self) -> dict[str, Any]:
        """Return the ``calibration`` of plan.json."""
        return {"holds": self.holds} | asdict(self)


def calibrate(
    frame: pd.DataFrame, slo: Slo, *, limit: float, swap_seconds: float, gpus: int | None
) -> Calibration:
    """Predict the waits of the history and hold them against the observed ones.

    ``frame`` holds `demand.COLUMNS` and `COLUMNS`; ``gpus`` is the number of GPUs that all services
    shared, where the rows do not name theirs.
    """
    seconds = frame["gpu_seconds"].fillna(frame["service_seconds"])
    told = frame["service"].notna() & (seconds > 0)
    named = told & frame["gpu_uuid"].notna() if gpus is None else told
    usable = frame[named].assign(seconds=seconds)
    observed = int(usable["queue_seconds"].notna().sum())
    if observed < LEAST_WAITS:
        missing = "no waits" if observed == 0 else f"{observed} waits, fewer than {LEAST_WAITS},"
        if gpus is None and not frame["gpu_uuid"].notna().any() and frame["queue_seconds"].notna().any():  # fmt: skip
            missing = "waits, but no GPUs (--held-gpus names their number), so none"
        return Calibration(f"the history holds {missing} to hold the replay against", limit)
    predicted = pd.Series(0.0, index=usable.index)
    most = 0
    for rows, servers in _pools(usable, gpus):
        predicted[rows.index] = _waits(rows, servers, swap_seconds)
        most += servers
    return _compare(predicted, usable["queue_seconds"], slo, limit=limit, gpus=most)


def _pools(usable: pd.DataFrame, gpus: int | None) -> list[tuple[pd.DataFrame, int]]:
    """Group the services that shared a GPU; with each group and day, the GPUs that worked for it."""
    if gpus is not None:
        return [(usable, gpus)]
    group = usable["service"].map(_connected(usable))
    day = usable["arrived_at"].dt.floor("D")
    most = usable["gpu_uuid"].groupby([group, day]).nunique().groupby(level=0).median()
    return [
        (rows, max(1, int(most[name]))) for name, rows in usable.groupby(group.rename(None), sort=True)
    ]  # fmt: skip


def _connected(usable: pd.DataFrame) -> dict[str, str]:
    """Name each service's group by its first service: those that share a GPU are of one group."""
    leader = {name: name for name in sorted(usable["service"].unique())}
    for names in usable.groupby("gpu_uuid")["service"].unique().to_list():
        first, *others = sorted({leader[name] for name in names})
        leader = {name: first if lead in others else lead for name, lead in leader.items()}
    return leader


def _waits(rows: pd.DataFrame, servers: int, swap_seconds: float) -> Floats:
    since = (rows["arrived_at"] - rows["arrived_at"].iloc[0]).dt.total_seconds()
    models, names = pd.factorize(rows["service"], sort=True)
    arrivals = np.asarray(since, dtype=np.float64)
    seconds = np.asarray(rows["seconds"], dtype=np.float64)
    ranks = ranks_among(rows["priority"])
    if len(names) == 1 and ranks is None:
        return replay.waits(arrivals, seconds, servers)
    return replay.pool(arrivals, seconds, models.astype(np.int64), servers=servers, swap=swap_seconds, ranks=ranks).waits  # fmt: skip


def _compare(
    predicted: pd.Series[float], queued: pd.Series[float], slo: Slo, *, limit: float, gpus: int
) -> Calibration:
    known = queued.notna()
    ours = np.asarray(predicted[known], dtype=np.float64)
    theirs = np.asarray(queued[known], dtype=np.float64)
    found = tuple(_quantile(q, ours, theirs) for q in QUANTILES)
    p95 = found[QUANTILES.index(0.95)]
    scale = max(p95.predicted_seconds, p95.observed_seconds, slo.wait_seconds)
    error = round(abs(p95.error_seconds) / scale, 6)
    reason = (
        f"95 % of the {len(ours):,} waits that were observed ended within {show_duration(p95.observed_seconds)}, "
        f"the replay of that set-up says {show_duration(p95.predicted_seconds)}: off by {show_ratio(error)} (limit {show_ratio(limit)})"
    )
    return Calibration(reason, limit, len(ours), gpus, error, found)


def _quantile(q: float, ours: Floats, theirs: Floats) -> Quantile:
    predicted, observed = (float(np.quantile(waits, q, method="inverted_cdf")) for waits in (ours, theirs))  # fmt: skip
    return Quantile(q, round(predicted, 6), round(observed, 6), round(predicted - observed, 6))
