"""Functions of ranges (``rate``, ``max_over_time``, ...) for all windows of a series at once. Pure.

The formulas are those of Prometheus (https://prometheus.io/docs/prometheus/latest/querying/functions/),
held against it by ``tests/localprom``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lightmeter.localprom.frame import Bools, Floats, Ints


@dataclass(frozen=True)
class Windows:
    """The samples ``low`` (inclusive) to ``high`` (exclusive) of a series, for each step.

    ``times`` and ``ends`` are Unix milliseconds, ``span`` is the range in milliseconds; ``evaluated``
    is the moment asked about, which an offset parts from ``ends``.
    """

    times: Ints
    values: Floats
    low: Ints
    high: Ints
    ends: Ints
    evaluated: Ints
    span: int
    newer: bool = True

    @property
    def count(self) -> Ints:
        """Samples in each window."""
        return self.high - self.low


Result = tuple[Floats, Bools]
Function = Callable[[Windows, list[Floats]], Result]


def reduced(windows: Windows, ufunc: np.ufunc, values: npt.NDArray[Any] | None = None) -> Floats:
    """Reduce each window; what an empty one gives must not be read."""
    chosen = windows.values if values is None else values
    padded = np.append(chosen, chosen.dtype.type(0))
    edges = np.empty(2 * len(windows.low), np.int64)
    edges[::2], edges[1::2] = windows.low, np.maximum(windows.high, windows.low)
    found: Floats = ufunc.reduceat(padded, edges)[::2].astype(np.float64)
    return found


def _ends(windows: Windows, least: int) -> tuple[Ints, Ints, Bools]:
    there = windows.count >= least
    return np.where(there, windows.low, 0), np.where(there, windows.high - 1, 0), there


def _drops(windows: Windows, first: Ints, last: Ints) -> Floats:
    """Sum what counters lost by starting anew, in each window."""
    values = windows.values
    resets = np.flatnonzero(values[1:] < values[:-1])
    lost = values[resets]
    begin, end = np.searchsorted(resets, first), np.searchsorted(resets, last)
    found = np.zeros(len(first))
    for at in np.flatnonzero(end > begin):
        found[at] = lost[begin[at] : end[at]].sum()
    return found


def _extrapolated(windows: Windows, *, counter: bool, per_second: bool) -> Result:
    first, last, there = _ends(windows, 2)
    if not there.any():
        return np.full(len(first), np.nan), there
    values, times = windows.values, windows.times
    change = values[last] - values[first] + (_drops(windows, first, last) if counter else 0)
    sampled = (times[last] - times[first]) / 1000
    average = sampled / np.maximum(windows.count - 1, 1)
    to_start = (times[first] - windows.ends + windows.span) / 1000
    to_end = (windows.ends - times[last]) / 1000
    zero = np.where((change > 0) & (values[first] >= 0), sampled * (values[first] / change), np.inf) if counter else np.full(len(first), np.inf)  # fmt: skip
    near = average * 1.1
    if windows.newer:
        to_start = np.minimum(np.where(to_start >= near, average / 2, to_start), zero)
    else:
        to_start = np.minimum(to_start, zero)
        to_start = np.where(to_start < near, to_start, average / 2)
    factor = (sampled + to_start + np.where(to_end < near, to_end, average / 2)) / sampled
    return change * (factor / (windows.span / 1000) if per_second else factor), there


def _rate(windows: Windows, _: list[Floats]) -> Result:
    return _extrapolated(windows, counter=True, per_second=True)


def _increase(windows: Windows, _: list[Floats]) -> Result:
    return _extrapolated(windows, counter=True, per_second=False)


def _delta(windows: Windows, _: list[Floats]) -> Result:
    return _extrapolated(windows, counter=False, per_second=False)


def _last_two(windows: Windows) -> tuple[Floats, Floats, Floats, Bools]:
    _first, last, there = _ends(windows, 2)
    before = np.maximum(last - 1, 0)
    seconds = (windows.times[last] - windows.times[before]) / 1000
    return windows.values[before], windows.values[last], seconds, there


def _irate(windows: Windows, _: list[Floats]) -> Result:
    before, last, seconds, there = _last_two(windows)
    return np.where(last < before, last, last - before) / seconds, there


def _idelta(windows: Windows, _: list[Floats]) -> Result:
    before, last, _seconds, there = _last_two(windows)
    return last - before, there


def _counted(windows: Windows, events: Bools) -> Result:
    """Count what happens between neighbours (``events``, one shorter) in each window."""
    first, last, there = _ends(windows, 1)
    total = np.concatenate([[0], np.cumsum(events)])
    return (total[last] - total[first]).astype(np.float64), there


def _changes(windows: Windows, _: list[Floats]) -> Result:
    before, after = windows.values[:-1], windows.values[1:]
    return _counted(windows, (after != before) & ~(np.isnan(after) & np.isnan(before)))


def _resets(windows: Windows, _: list[Floats]) -> Result:
    return _counted(windows, windows.values[1:] < windows.values[:-1])


def _sum(windows: Windows, _: list[Floats]) -> Result:
    return reduced(windows, np.add), windows.count > 0


def _avg(windows: Windows, _: list[Floats]) -> Result:
    return reduced(windows, np.add) / np.maximum(windows.count, 1), windows.count > 0


def _min(windows: Windows, _: list[Floats]) -> Result:
    return reduced(windows, np.fmin), windows.count > 0


def _max(windows: Windows, _: list[Floats]) -> Result:
    return reduced(windows, np.fmax), windows.count > 0


def _count(windows: Windows, _: list[Floats]) -> Result:
    return windows.count.astype(np.float64), windows.count > 0


def _present(windows: Windows, _: list[Floats]) -> Result:
    return np.ones(len(windows.low)), windows.count > 0


def _last(windows: Windows, _: list[Floats]) -> Result:
    _first, last, there = _ends(windows, 1)
    return windows.values[last] if there.any() else np.zeros(len(last)), there


def _each(windows: Windows, least: int, function: Callable[[int, slice], float]) -> Result:
    there = windows.count >= least
    found = np.full(len(there), np.nan)
    for at in np.flatnonzero(there):
        found[at] = function(int(at), slice(windows.low[at], windows.high[at]))
    return found, there


def _total(values: Floats) -> float:
    """Sum without rounding on the way, where the sum is a number."""
    try:
        return math.fsum(values)
    except (OverflowError, ValueError):  # infinities of both signs, or beyond the largest number
        return float(values.sum())


def variance(values: Floats) -> float:
    """Population variance; exactly 0 for equal values."""
    if values.min() == values.max() and math.isfinite(values[0]):
        return 0.0
    mean = _total(values) / len(values)
    return float(np.square(values - mean).mean())


def _stdvar(windows: Windows, _: list[Floats]) -> Result:
    return _each(windows, 1, lambda _at, part: variance(windows.values[part]))


def _stddev(windows: Windows, _: list[Floats]) -> Result:
    return _each(windows, 1, lambda _at, part: math.sqrt(variance(windows.values[part])))


def quantile(share: float, values: Floats) -> float:
    """Interpolate between ranks; NaN counts as the smallest, as in Prometheus."""
    if math.isnan(share) or not len(values):
        return math.nan
    if not 0 <= share <= 1:
        return math.copysign(math.inf, share)
    ordered = np.sort(values)
    ordered = np.roll(ordered, int(np.isnan(ordered).sum()))
    rank = share * (len(ordered) - 1)
    low = math.floor(rank)
    high = min(len(ordered) - 1, low + 1)
    return float(ordered[low] * (1 - (rank - low)) + ordered[high] * (rank - low))


def _quantile(windows: Windows, parameters: list[Floats]) -> Result:
    return _each(windows, 1, lambda at, part: quantile(float(parameters[0][at]), windows.values[part]))  # fmt: skip


def _line(times: Ints, values: Floats, origin: int) -> tuple[float, float]:
    """Fit a line: its slope for each second, and its value at ``origin``."""
    if (values == values[0]).all():
        return (0.0, float(values[0])) if math.isfinite(values[0]) else (math.nan, math.nan)
    if not np.isfinite(values).all():
        return math.nan, math.nan
    x, number = (times - origin) / 1000, len(values)
    sum_x, sum_y = _total(x), _total(values)
    covariance = _total(x * values) - sum_x * sum_y / number
    slope = float(np.divide(covariance, _total(x * x) - sum_x * sum_x / number))
    return slope, sum_y / number - slope * sum_x / number


def _deriv(windows: Windows, _: list[Floats]) -> Result:
    def slope(_at: int, part: slice) -> float:
        times = windows.times[part]
        return _line(times, windows.values[part], int(times[0]))[0]

    return _each(windows, 2, slope)


def _predict(windows: Windows, parameters: list[Floats]) -> Result:
    def ahead(at: int, part: slice) -> float:
        slope, now = _line(windows.times[part], windows.values[part], int(windows.evaluated[at]))
        return slope * float(parameters[0][at]) + now

    return _each(windows, 2, ahead)


FUNCTIONS: dict[str, Function] = {
    "rate": _rate,
    "increase": _increase,
    "delta": _delta,
    "irate": _irate,
    "idelta": _idelta,
    "changes": _changes,
    "resets": _resets,
    "deriv": _deriv,
    "predict_linear": _predict,
    "sum_over_time": _sum,
    "avg_over_time": _avg,
    "min_over_time": _min,
    "max_over_time": _max,
    "count_over_time": _count,
    "present_over_time": _present,
    "last_over_time": _last,
    "stddev_over_time": _stddev,
    "stdvar_over_time": _stdvar,
    "quantile_over_time": _quantile,
}
KEEPS_NAME = frozenset(["last_over_time"])
