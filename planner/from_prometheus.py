"""What a Prometheus kept of a server as usage rows: requests from counters, times from histograms.

A lower grade than rows: within a step arrivals are drawn, and service times are drawn from the
histogram of a day. It serves where no rows were kept.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lightmeter import tables
from lightmeter.catalog import GPU_SECONDS, REQUESTS, STAGE_DURATION, GpuTime, Outcome, Stage
from lightmeter.errors import HistoryError
from lightmeter.units import show_duration
from planner import counters
from planner.importers import Imported
from planner.promql import Api, Grid, Series


DAY = 86_400.0
SERVED = (Outcome.OK, Outcome.ANOMALOUS)
ON_GPU = (Stage.TEXT_ENCODE, Stage.DENOISE, Stage.VAE_DECODE, Stage.TRANSFER)
"""The stages of a request in which its batch holds the GPU."""
_MOST_GAPS = 5
Tell = Callable[[int, int, str], None]
Owner = tuple[str | None, str | None]
"""Service and model."""


@dataclass(frozen=True)
class Range:
    """Whole days of UTC from ``since`` on, up to ``until``, Unix seconds, in steps of ``step``."""

    since: float
    until: float
    step: float


def days(since: datetime, until: datetime, step: float) -> Range:
    """Make a range of the days from that of ``since`` on.

    Raises:
        HistoryError: it is empty, or the step does not divide a day.
    """
    if step < 1 or DAY % step:
        raise HistoryError(f"step {step:g} s does not divide a day into whole seconds; give 15s, 1m, 5m or the like")  # fmt: skip
    first = since.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
    last = until.timestamp() // step * step
    if last <= first:
        raise HistoryError(f"nothing lies between {_when(first)} and {_when(last)}; give an earlier --since")  # fmt: skip
    return Range(first, last, step)


def read(url: str, span: Range, *, token: str | None, tell: Tell) -> Imported:
    """Ask a Prometheus for the requests of a range, and make a row of each.

    The stem is made from the URL: a day imported again takes the place of the same day.

    Raises:
        HistoryError: it knows of no requests there. ServerError: it cannot be asked.
    """
    grid = Grid(span.since, span.until, span.step)
    daily = Grid(span.since + DAY, span.since + np.ceil((span.until - span.since) / DAY) * DAY, DAY)
    total, count = len(list(grid.parts())) + 4 * len(list(daily.parts())), 0

    def done() -> None:
        nonlocal count
        count += 1
        tell(count, total, f"{count} of {total} queries")

    with Api(url, token) as api:
        tell(0, total, "asking")
        requests = api.range(REQUESTS.name, grid, done)
        if not requests:
            raise HistoryError(f"Prometheus at {api.name} has no {REQUESTS.name} between {_when(span.since)} and {_when(span.until)}")  # fmt: skip
        times = _times(api, daily, done)
        stem = f"prometheus-{hashlib.sha256(url.rstrip('/').encode()).hexdigest()[:12]}"
        frame = _frame(requests, times, span, stem)
        notes = [*_missing(requests, span, api.name), *api.warnings]
    if frame.empty:
        raise HistoryError(f"Prometheus at {api.name} counted no request between {_when(span.since)} and {_when(span.until)}")  # fmt: skip
    table = pa.Table.from_pandas(frame, preserve_index=False)
    notes += _grade(frame, span)
    return Imported(tables.validated(tables.fitted(table, stem), stem), stem, notes)


def _frame(
    requests: list[Series], times: dict[Owner, dict[float, _Times]], span: Range, stem: str
) -> pd.DataFrame:
    first = min(one.times[0] for one in requests)
    parts = [_rows(one, times.get(_owner(one), {}), first, span.step) for one in requests]
    frame = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    frame["request_id"] = stem + "-" + frame["request_id"].astype(str)
    return frame.sort_values("arrived_at", ignore_index=True)


def _rows(series: Series, times: dict[float, _Times], first: float, step: float) -> pd.DataFrame:
    """Make a row of each request that a series counted."""
    found = counters.events(series, first, step)
    service, model = _owner(series)
    outcome = series.labels.get("outcome")
    seconds = np.full(len(found.when), np.nan)
    share = np.full(len(found.when), np.nan)
    if outcome in SERVED:
        ends = (np.floor(found.when / DAY) + 1) * DAY
        for end in np.unique(ends):
            drawn = times.get(float(end)) or times.get(0.0)
            if drawn:
                here = ends == end
                seconds[here] = drawn.shape.drawn(found.draw[here]) * drawn.scale
                share[here] = seconds[here] * drawn.share
    return pd.DataFrame(
        {
            "request_id": found.names,
            "arrived_at": pd.to_datetime(found.when, unit="s", utc=True),
            "service": service,
            "model": model,
            "outcome": outcome,
            "service_seconds": seconds,
            "gpu_seconds": share,
        }
    )


@dataclass(frozen=True)
class _Times:
    """How long a service's requests held the GPU on a day: a shape, times ``scale``; NaN is unknown.

    ``share`` is the part of that time which was a request's own.
    """

    shape: counters.Shape
    scale: float
    share: float


def _times(api: Api, daily: Grid, done: Callable[[], None]) -> dict[Owner, dict[float, _Times]]:
    """Read each service's times by the end of the day; 0 is all days, for those without any."""
    by = "service, model"
    stages = "|".join(ON_GPU)
    denoise = f'stage="{Stage.DENOISE}"'
    stage = STAGE_DURATION.name
    asked = {
        "buckets": f"sum by ({by}, le) (increase({stage}_bucket{{{denoise}}}[1d]))",
        "count": f"sum by ({by}) (increase({stage}_count{{{denoise}}}[1d]))",
        "spent": f'sum by ({by}) (increase({stage}_sum{{stage=~"{stages}"}}[1d]))',
        "useful": f'sum by ({by}) (increase({GPU_SECONDS.name}{{kind="{GpuTime.USEFUL}"}}[1d]))',
    }
    sums: dict[Owner, dict[float, _Day]] = defaultdict(lambda: defaultdict(_Day))
    for name, expr in asked.items():
        for series in api.range(expr, daily, done):
            bound = float(series.labels.get("le", "nan"))
            for at, value in series.points():
                for day in (sums[_owner(series)][at], sums[_owner(series)][0.0]):
                    day.add(name, bound, value)
    return {
        owner: {end: made for end, day in found.items() if (made := day.times())}
        for owner, found in sums.items()
    }


class _Day:
    def __init__(self) -> None:
        self._buckets: dict[float, float] = defaultdict(float)
        self._sums: dict[str, float] = defaultdict(float)

    def add(self, name: str, bound: float, value: float) -> None:
        if name == "buckets":
            self._buckets[bound] += value
        else:
            self._sums[name] += value

    def times(self) -> _Times | None:
        shape = counters.shape(self._buckets.items())
        if shape is None:
            return None
        count, spent = self._sums["count"], self._sums["spent"]
        scale = spent / count / shape.mean if count > 0 and spent > 0 else 1.0
        useful = self._sums.get("useful", 0.0)
        share = min(1.0, useful / spent) if useful > 0 and spent > 0 else np.nan
        return _Times(shape, scale, share)


def _owner(series: Series) -> Owner:
    return series.labels.get("service"), series.labels.get("model")


def _missing(requests: Iterable[Series], span: Range, name: str) -> list[str]:
    """Say for which times there is nothing."""
    found = counters.gaps(list(requests), span.since, span.until, span.step)
    notes = []
    if found and found[0][0] <= span.since:
        notes.append(f"Prometheus at {name} holds nothing before {_when(found[0][1])}, asked from {_when(span.since)}; unless told otherwise it keeps 15 days")  # fmt: skip
        found = found[1:]
    for begin, end in found[:_MOST_GAPS]:
        notes.append(f"no samples from {_when(begin)} to {_when(end)} ({show_duration(end - begin)}); what was counted meanwhile is spread over it evenly")  # fmt: skip
    if len(found) > _MOST_GAPS:
        notes.append(f"no samples in {len(found) - _MOST_GAPS} more gaps")
    return notes


def _grade(frame: pd.DataFrame, span: Range) -> list[str]:
    """Say how much these rows are worth."""
    notes = [f"arrivals are known to {show_duration(span.step)} and drawn within it, by when they were answered; rows that the server kept are better"]  # fmt: skip
    served = frame["outcome"].isin(SERVED)
    timed = frame["service_seconds"].notna()
    if timed.any():
        notes.append("service times are drawn from each day's histogram, scaled to its mean: a lower grade than measured ones; waits and sizes are not known")  # fmt: skip
    if (served & ~timed).any():
        notes.append(f"{int((served & ~timed).sum())} of {int(served.sum())} served requests have no service time: {STAGE_DURATION.name} is missing")  # fmt: skip
    return notes


def without_poorer(imported: Imported, out: Path) -> Imported:
    """Leave out the days of which the folder holds more rows from the same Prometheus already.

    It forgets: the oldest day that it still has may be half gone.
    """
    table, stem, notes = imported
    dates = table["arrived_at"].cast(pa.timestamp("us")).cast(pa.date32())
    kept = []
    for day in pc.unique(dates).to_pylist():
        part = table.filter(pc.equal(dates, day))
        had = _rows_of(out / f"date={day}" / f"{stem}.parquet")
        if had > part.num_rows:
            notes = [*notes, f"{day} stays as it was: {had} rows had been imported, {part.num_rows} are left now"]  # fmt: skip
        else:
            kept.append(part)
    return Imported(pa.concat_tables(kept) if kept else table.slice(0, 0), stem, notes)


def _rows_of(path: Path) -> int:
    try:
        return int(pq.read_metadata(path).num_rows)
    except (OSError, pa.ArrowInvalid):
        return 0


def _when(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"


def moment(text: str, now: datetime) -> datetime:
    """Read ``2026-11-01``, ``2026-11-01T12:00Z``, or a time back from now: ``30d``.

    Raises:
        HistoryError: it is neither.
    """
    from lightmeter.errors import SettingError
    from lightmeter.units import parse_duration

    try:
        at = datetime.fromisoformat(text)
        return at if at.tzinfo else at.replace(tzinfo=UTC)
    except ValueError:
        pass
    try:
        return now - timedelta(seconds=parse_duration(text))
    except (SettingError, OverflowError) as error:
        raise HistoryError(f"time {text!r} is not understood; write it like 2026-11-01, or 30d for so long ago") from error  # fmt: skip
