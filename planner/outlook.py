"""What the coming month does to the advice: its load, and whether the same GPUs still keep it. Pure."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import asdict
from typing import Any

import numpy as np

from lightmeter.replay import Floats, Integers
from planner import certainty, forecast
from planner.certainty import DAY, Draws
from planner.demand import Demand
from planner.forecast import Forecast
from planner.inputs import Case
from planner.options import Option, keeps_objective


MOST_CHANGE = 3.0
"""A load of less than a third or more than three times the past is no matter of chance."""
FORECAST, SPREAD = "forecast", "spread between days"


def scaled(demand: Demand, factor: float, *, seed: int) -> tuple[Demand, Integers]:
    """Thin the demand to ``factor`` of itself, or lay a part of it over it again on other days.

    Returns it with the row of the old demand that each new request comes from, (n,).

    What comes or goes are whole hours of a service, as sessions do, not single requests; what is
    added is shifted by whole days, so that the hours of the day stay what they are.
    """
    rng = np.random.default_rng(seed)
    session = demand.owner * (int(demand.span_seconds // 3600) + 1) + (demand.arrivals // 3600).astype(np.int64)  # fmt: skip
    _, session = np.unique(session, return_inverse=True)
    lot = rng.random(session.max() + 1)[session]
    parts = [np.arange(len(lot))] * int(factor) + [np.flatnonzero(lot < factor % 1)]
    days = max(1, int(demand.span_seconds // DAY))
    shifts = [0, *rng.integers(1, max(2, days), size=len(parts))]
    rows = np.concatenate(parts)
    shift = np.concatenate([np.full(len(part), by * DAY) for part, by in zip(parts, shifts, strict=False)])  # fmt: skip
    arrivals = (demand.arrivals[rows] + shift) % demand.span_seconds
    order = np.argsort(arrivals, kind="stable")
    return _pick(demand, rows[order], arrivals[order]), rows[order]


def _pick(demand: Demand, rows: Integers, arrivals: Floats) -> Demand:
    return dataclasses.replace(
        demand,
        arrivals=arrivals,
        seconds=np.minimum(demand.seconds[rows], demand.span_seconds - arrivals),
        owner=demand.owner[rows],
        images=demand.images[rows],
        ranks=None if demand.ranks is None else demand.ranks[rows],
    )


def busier(case: Case, factor: float, *, seed: int) -> Case:
    """Scale the demand of a case, and what goes with each of its requests."""
    demand, draws, terms = case
    demand, rows = scaled(demand, factor, seed=seed)
    limits = terms.slo.limits
    objective = dataclasses.replace(terms.slo, limits=None if limits is None else limits[rows])
    block = np.searchsorted(draws.edges, demand.arrivals, side="right") - 1
    draws = dataclasses.replace(draws, block=np.clip(block, 0, len(draws.edges) - 2))
    return demand, draws, dataclasses.replace(terms, slo=objective)


def block(option: Option, case: Case, coming: Forecast, *, days: int) -> dict[str, Any]:
    """Return the ``outlook`` of plan.json: the load to come, and what it does to the option.

    Where the forecast may not be used, the load is taken to stay, give or take what days differ by.
    Waits are replayed at both ends of the interval, with sessions left out or added.
    """
    demand, draws, _ = case
    factor, low, high = (
        (coming.factor, *coming.factor_ci)
        if coming.factor is not None and coming.factor_ci is not None
        else (1.0, *spread(demand, draws, days=days))
    )
    found: dict[str, Any] = {
        "days": days,
        "source": FORECAST if coming.factor is not None else SPREAD,
        "reason": coming.reason,
        "load_factor": round(factor, 4),
        "load_factor_ci": [round(low, 4), round(high, 4)],
        "backtest": None if coming.backtest is None else asdict(coming.backtest),
    }
    if option.again is None:
        return found
    busy, quiet = _held(option, case, high), _held(option, case, low)
    return found | {
        "slo_attainment_ci": [round(busy["low"], 6), round(max(quiet["high"], busy["low"]), 6)],
        "meets_slo": bool(busy["meets"]),
    }


def spread(demand: Demand, draws: Draws, *, days: int) -> tuple[float, float]:
    """95 % interval of the mean load of the days to come over that of the history, by chance alone.

    The mean of the history is as uncertain as its days differ, and so is that of the days to come.
    """
    work = np.bincount(draws.block, weights=demand.seconds, minlength=len(draws.edges) - 1)
    found = certainty.ratio(draws, work.astype(np.float64), draws.lengths)
    wider = math.sqrt(1 + demand.span_seconds / DAY / days)
    down, up = (wider * abs(end / found.value - 1) for end in (found.low, found.high))
    return max(1 / MOST_CHANGE, 1 - down), min(MOST_CHANGE, 1 + up)


def _held(option: Option, case: Case, load: float) -> dict[str, float]:
    demand, draws, terms = busier(case, load, seed=1)
    assert option.again is not None  # noqa: S101  (the caller has asked)
    waits = option.again(demand, terms)
    share = certainty.share(draws, demand.judged, terms.slo.within(waits))
    meets = keeps_objective(demand, draws, waits, terms.slo)
    return {"low": share.low, "high": share.high, "meets": float(meets)}


def look_ahead(demand: Demand, *, days: int, seed: int) -> Forecast:
    """Forecast the load of the days after the history."""
    return forecast.make(forecast.hourly(demand), days=days, seed=seed)
