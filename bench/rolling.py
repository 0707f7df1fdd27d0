"""The planner on weeks it has not seen: chosen on the days before, billed on the seven after.

On the requests of GenTD26 ($LIGHTMETER_TRACES/gentd26/requests.csv.gz; without it, made-up ones).
For each objective and each week that fits, the plan of all days before is held,
GPU for GPU, on the week. It is judged by what the week would have cost in hindsight: the cheapest of
the same options, sized on the week itself, that kept the objective in it. Beside it the planner by
averages: mean arrival rate and mean service time of the same days in the formula of M/M/c.

The trace knows how long models take to load (the median is the planner's default); how soon a sleeping
one wakes it does not, so that what rests on it stands on neither side unless it bears the whole range:
hindsight knows the load of the week, not inputs that nobody measured. ``if all were known`` is the
cheapest of all options, the assumed values taken for true.
Deterministic: no clock is read.
"""

from __future__ import annotations

import dataclasses
import math
import os
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench import common
from lightmeter import replay
from lightmeter.settings_plan import Plan
from lightmeter.units import counted
from planner import certainty, doubt, importers, outlook, prices, steady
from planner import options as ways
from planner.certainty import Draws
from planner.demand import COLUMNS, Demand, from_frame
from planner.forecast import Forecast
from planner.inputs import Case
from planner.options import Option, OptionKind, Terms
from planner.plan import terms_of
from planner.recommend import recommend


WAITS = (30.0, 60.0, 120.0)
LEAST_DAYS, WEEK = 7, 7
RESAMPLES = 1000
SAME = 0.10
"""The cost is to be within this of the best in hindsight."""
RATIO = "cost / best"


def main() -> None:
    """Roll over the weeks for each objective."""
    args = common.arguments(__doc__)
    frame, said = _requests()
    rows = [row for wait in WAITS for row in _weeks(frame, _terms(wait))]
    about = common.machine("numpy", "pandas") | {"data": said}
    common.finish(args, about, rows, _failures(rows))


def _requests() -> tuple[pd.DataFrame, str]:
    folder = os.environ.get("LIGHTMETER_TRACES")
    path = Path(folder or "") / "gentd26" / "requests.csv.gz"
    said = "the requests of GenTD26"
    with tempfile.TemporaryDirectory() as name:
        if not folder or not path.is_file():
            common.support()
            from support import gentd26

            path = gentd26.write(Path(name) / "made-up.csv.gz", gentd26.log(15_630, days=16.0))
            said = "made-up requests (LIGHTMETER_TRACES names no folder with GenTD26)"
        table = importers.read("gentd26", path).table
    frame = table.select(list(COLUMNS)).to_pandas()
    return frame.sort_values("arrived_at", kind="stable", ignore_index=True), said


def _terms(wait: float) -> Terms:
    wishes: dict[str, Any] = {"slo": f"p95_wait={wait:g}s"}
    settings = Plan(**wishes)
    return terms_of(settings, prices.builtin(), None)


def _between(frame: pd.DataFrame, first: pd.Timestamp, after: pd.Timestamp) -> Demand:
    inside = frame[(frame["arrived_at"] >= first) & (frame["arrived_at"] < after)]
    begin = steady.since(inside) or first
    return from_frame(
        inside[inside["arrived_at"] >= begin], (begin.to_pydatetime(), after.to_pydatetime())
    )


def _weeks(frame: pd.DataFrame, terms: Terms) -> Iterator[dict[str, Any]]:
    first = frame["arrived_at"].iloc[0].floor("D")
    end = frame["arrived_at"].iloc[-1].ceil("D")
    day = timedelta(days=1)
    middle = first + LEAST_DAYS * day
    while middle + WEEK * day <= end:
        inside = frame[frame["arrived_at"].between(middle, middle + WEEK * day, inclusive="left")]
        window = middle.to_pydatetime(), (middle + WEEK * day).to_pydatetime()
        yield {
            "objective": f"{terms.slo.wait_seconds:g} s",
            "week from": f"{middle:%m-%d}",
        } | _judge(_between(frame, first, middle), from_frame(inside, window), terms)
        middle += day


def _judge(past: Demand, week: Demand, terms: Terms) -> dict[str, Any]:
    draws = certainty.draw(past, resamples=RESAMPLES, seed=1)
    as_it_was = _once(certainty.draw(week, resamples=RESAMPLES, seed=1))
    seen = week, as_it_was, terms
    options = _options((past, draws, terms))
    keeping = [option for option in _options(seen) if option.meets_slo]
    best = min((option for option in keeping if doubt.bears(option, seen)), key=_weekly)
    naive = _gpus_by_averages(past, terms)
    waits = replay.pool(week.arrivals, week.seconds, week.owner, servers=naive, swap=terms.swap_seconds).waits  # fmt: skip
    advice = recommend(options, draws, terms, past)
    chosen = None if advice.option is None else options[advice.option]
    return {
        "load before, then": f"{past.busy_gpus:.2f}, {week.busy_gpus:.2f}",
        "best in hindsight": _named(best),
        **_advised(chosen, best, (past, draws, terms), seen),
        "if all were known": _named(min(keeping, key=_weekly)),
        "by averages": counted(naive, "GPU"),
        "attains": round(float(terms.slo.within(waits).mean()), 3),
        "averages / best": round(naive * WEEK * 24 / _weekly(best), 3),
    }


def _advised(chosen: Option | None, best: Option, case: Case, seen: Case) -> dict[str, Any]:
    """Hold what was advised on the week that came."""
    if chosen is None or chosen.again is None:
        return {"advice": "none", "stated": "", "attained": math.nan, "each service": "", "warned": "", "inside": False, RATIO: math.nan}  # fmt: skip
    week, as_it_was, terms = seen
    week = _named_alike(week, case[0])
    waits = chosen.again(week, terms)
    coming = outlook.block(chosen, case, Forecast("of days, not weeks"), days=WEEK)
    low, high = coming["slo_attainment_ci"]
    return {
        "advice": _named(chosen),
        "stated": f"{low:.3f} - {high:.3f}",
        "attained": round(float(terms.slo.within(waits).mean()), 3),
        "each service": "kept"
        if ways.keeps_objective(week, as_it_was, waits, terms.slo)
        else "missed",
        "warned": "no" if coming["meets_slo"] else "yes",
        "inside": bool(low <= terms.slo.within(waits).mean()),
        RATIO: round(_billed(chosen, seen) / _weekly(best), 3),
    }


def _named_alike(week: Demand, past: Demand) -> Demand:
    """Give the services the places they had; those that nobody knew of come after them."""
    names = [*past.services, *(name for name in week.services if name not in past.services)]
    places = np.array([names.index(name) for name in week.services])
    return dataclasses.replace(
        week,
        owner=places[week.owner],
        services=tuple(names),
        peak_vram_bytes=(None,) * len(names),
    )


def _billed(chosen: Option, seen: Case) -> float:
    """GPU-hours of the week: rent runs on, the rest is billed as the same kind would be."""
    if chosen.kind in {OptionKind.DEDICATED, OptionKind.SHARED}:
        return chosen.gpus * WEEK * 24.0
    return next(_weekly(option) for option in _options(seen) if option.title == chosen.title)


def _weekly(option: Option) -> float:
    return float(option.billed.sum())


def _failures(rows: list[dict[str, Any]]) -> list[str]:
    missed = [
        f"{row['objective']} from {row['week from']}: {what}"
        for row in rows
        for what, wrong in (
            ("attained less than was stated", not row["inside"]),
            ("missed the objective overall", not row["attained"] >= 0.95),
            (
                "a service missed it, unwarned",
                (row["each service"], row["warned"]) == ("missed", "no"),
            ),
        )
        if wrong
    ]
    # a week that was missed is no week that was cheap
    mean = float(np.mean([row[RATIO] for row in rows if row["each service"] == "kept"]))
    if not abs(mean - 1) <= SAME:
        missed.append(
            f"where it was kept it costs, on average, {mean:.3f} times the best, the limit is {1 + SAME:g}"
        )
    return missed


def _options(case: Case) -> list[Option]:
    return [option for way in ways.WAYS for option in way.options(*case)]


def _once(draws: Draws) -> Draws:
    """Judge by what was, without doubt: every resample is the history itself."""
    return dataclasses.replace(draws, weights=np.ones_like(draws.weights))


def _named(option: Option) -> str:
    return f"{option.title}, {option.gpus}"


def _gpus_by_averages(past: Demand, terms: Terms) -> int:
    """Fewest GPUs whose 95th percentile of the wait keeps the limit in M/M/c, Erlang's formula.

    The q-quantile of the wait is ln(C / (1 - q)) / (c mu - lambda), or 0 where C, the probability
    of waiting, is no larger than 1 - q.
    """
    arrival_rate = len(past.arrivals) / past.span_seconds
    service_rate = 1 / float(past.seconds.mean())
    load = arrival_rate / service_rate
    blocked = 1.0
    for gpus in range(1, 1000):
        blocked = load * blocked / (gpus + load * blocked)
        if gpus <= load:
            continue
        waiting = blocked / (1 - load / gpus * (1 - blocked))
        wait = math.log(max(waiting / 0.05, 1.0)) / (gpus * service_rate - arrival_rate)
        if wait <= terms.slo.wait_seconds:
            return gpus
    raise SystemExit("the load needs more than 1,000 GPUs")


if __name__ == "__main__":
    main()
