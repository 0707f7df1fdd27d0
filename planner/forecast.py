"""Next month's load: harmonic regression over the hours, used only where it beats last week. Pure.

The work that arrives in each hour (GPU-seconds) is fitted by least squares as log(1 + y) on a level, a
slope and the harmonics of day and week. What the fit leaves over is drawn in whole days for the
interval, so that a day's bad luck stays together. Before any of it is believed it is set against the
seasonal naive forecast (this hour of the week, a week ago) over the history itself: at each of several
origins both forecast the days after from the days before. The measures are MASE (mean absolute error
over that of the seasonal naive within the days it learnt from; Hyndman and Koehler 2006,
https://doi.org/10.1016/j.ijforecast.2006.03.001) and WAPE (sum of absolute errors over the sum).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lightmeter.replay import Floats
from planner.demand import Demand


HOURS_PER_WEEK = 168
HARMONICS = ((24, 4), (168, 3))
"""Period in hours, and how many harmonics of it."""
LEAST_WEEKS = 4
"""Two weeks to learn from at the first origin, one for the season, one to be judged by."""
ORIGINS = 4
DRAWS = 200


@dataclass(frozen=True)
class Backtest:
    """How far both forecasts were off, over all origins: MASE and WAPE, ours and the naive one's."""

    origins: int
    days: int
    mase: float
    mase_naive: float
    wape: float
    wape_naive: float
    level_error: float
    """Largest error of the mean load of the days ahead, as the logarithm of its ratio."""

    @property
    def beats_naive(self) -> bool:
        """Tell whether ours was the better in both measures."""
        return self.mase < self.mase_naive and self.wape < self.wape_naive


@dataclass(frozen=True)
class Forecast:
    """The load of the days to come over that of the history, with its 95 % interval.

    ``factor`` is None where the forecast may not be used; ``reason`` says why, or how good it is.
    """

    reason: str
    factor: float | None = None
    factor_ci: tuple[float, float] | None = None
    backtest: Backtest | None = None


def hourly(demand: Demand) -> Floats:
    """Sum the work that arrives in each whole hour, GPU-seconds."""
    hours = int(demand.span_seconds // 3600)
    index = (demand.arrivals // 3600).astype(np.int64)
    inside = index < hours
    found = np.bincount(index[inside], weights=demand.seconds[inside], minlength=hours)
    return found.astype(np.float64)


def make(work: Floats, *, days: int, seed: int) -> Forecast:
    """Forecast the mean hour of the ``days`` to come over the mean hour of the history.

    ``work`` is by hour, (hours,), in one piece.
    """
    weeks = len(work) / HOURS_PER_WEEK
    if weeks < LEAST_WEEKS:
        return Forecast(
            f"{weeks:.1f} weeks of history are fewer than the {LEAST_WEEKS} that a forecast is tested on"
        )
    tested = backtest(work, days=days)
    said = f"MASE {tested.mase:.2f} against {tested.mase_naive:.2f} of the same hour a week before, WAPE {tested.wape:.2f} against {tested.wape_naive:.2f}, at {tested.origins} origins"
    if not tested.beats_naive:
        return Forecast(f"it is no better than the naive one: {said}", backtest=tested)
    level, low, high = _mean_ahead(work, 24 * days, seed)
    now = float(work.mean())
    # a trend that the residuals do not know is seen where the test was off
    low = min(low, level * math.exp(-tested.level_error))
    high = max(high, level * math.exp(tested.level_error))
    return Forecast(
        f"it beats the naive one: {said}",
        factor=level / now,
        factor_ci=(low / now, high / now),
        backtest=tested,
    )


def backtest(work: Floats, *, days: int) -> Backtest:
    """Set both forecasts against what came, from several origins in the second half of the history."""
    ahead = min(24 * days, max(HOURS_PER_WEEK, len(work) // 4 // 24 * 24))
    first = max(2 * HOURS_PER_WEEK, len(work) // 2)
    last = len(work) - ahead
    origins = sorted({int(at) // 24 * 24 for at in np.linspace(first, max(first, last), ORIGINS)})
    ours, naive, scales, sums, levels = [], [], [], [], []
    for origin in origins:
        past, came = work[:origin], work[origin : origin + ahead]
        coming = predict(past, len(came))
        ours.append(np.abs(coming - came))
        levels.append(abs(float(np.log((coming.mean() + 1) / (came.mean() + 1)))))
        naive.append(np.abs(seasonal_naive(past, len(came)) - came))
        scale = np.abs(past[HOURS_PER_WEEK:] - past[:-HOURS_PER_WEEK]).mean()
        scales.append(max(float(scale), 1e-9))
        sums.append(came.sum())
    mase = [float(np.mean([e.mean() / s for e, s in zip(errors, scales, strict=True)])) for errors in (ours, naive)]  # fmt: skip
    total = max(float(np.sum(sums)), 1e-9)
    wape = [float(np.sum([e.sum() for e in errors])) / total for errors in (ours, naive)]
    return Backtest(len(origins), ahead // 24, mase[0], mase[1], wape[0], wape[1], max(levels))


def seasonal_naive(past: Floats, ahead: int) -> Floats:
    """Repeat the last week."""
    week = past[-HOURS_PER_WEEK:]
    return np.resize(week, ahead)


def predict(past: Floats, ahead: int) -> Floats:
    """Forecast the hours after the past ones; (ahead,), never negative."""
    known, coming = _designs(len(past), ahead)
    weights, *_ = np.linalg.lstsq(known, np.log1p(past), rcond=None)
    # Duan's smearing estimate (1983, https://doi.org/10.1080/01621459.1983.10478017): the
    # exponential of a mean is less than the mean of exponentials
    smear = float(np.sum(past + 1) / np.sum(np.exp(known @ weights)))
    return np.maximum(np.exp(coming @ weights) * smear - 1, 0.0)


def _designs(past: int, ahead: int) -> tuple[Floats, Floats]:
    design = _design(np.arange(past + ahead, dtype=np.float64), past)
    return design[:past], design[past:]


def _design(hours: Floats, past: int) -> Floats:
    """A level, a slope that stops at the end of what is known, and the harmonics."""
    columns = [np.ones_like(hours), np.minimum(hours, past) / past]
    for period, count in HARMONICS:
        for order in range(1, count + 1):
            angle = 2 * np.pi * order * hours / period
            columns += [np.sin(angle), np.cos(angle)]
    return np.stack(columns, axis=1)


def _mean_ahead(work: Floats, ahead: int, seed: int) -> tuple[float, float, float]:
    """Forecast the mean hour ahead, with its interval by residuals drawn in whole days.

    The past is drawn again too, since the fit itself is uncertain.
    """
    known, coming = _designs(len(work), ahead)
    solve = np.linalg.pinv(known)
    logs = np.log1p(work)
    fitted = known @ (solve @ logs)
    whole = len(work) // 24
    days = (logs - fitted)[-24 * whole :].reshape(whole, 24)
    rng = np.random.default_rng(seed)
    means = []
    for _ in range(DRAWS):
        again = fitted.copy()
        again[-24 * whole :] += days[rng.integers(whole, size=whole)].ravel()
        noise = days[rng.integers(whole, size=-(-ahead // 24))].ravel()[:ahead]
        drawn = np.expm1(coming @ (solve @ again) + noise)
        means.append(float(np.maximum(drawn, 0.0).mean()))
    low, high = np.quantile(means, (0.025, 0.975))
    return float(predict(work, ahead).mean()), float(low), float(high)
