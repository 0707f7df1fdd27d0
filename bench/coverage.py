"""How often the planner's 95 % intervals hold the truth: made-up months whose truth is known.

Each month is replayed requests, not figures: arrivals with the rhythm of a day, days that differ by a
gamma factor, lognormal GPU times. What is asked is what the planner asks: the share of requests that a
pool of c GPUs starts in time, and the hours by which on-demand GPUs differ from rented ones. The truth
is that of a thousand days of the same process. Deterministic: no clock is read.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bench import common
from lightmeter import replay
from lightmeter.replay import Floats
from planner import certainty
from planner.certainty import Draws
from planner.demand import busy_between


DAY = 86_400.0
PROCESSES = {
    "even days": (40.0, 2),
    "uneven days": (6.0, 2),
    "wild days": (2.0, 3),
    "wild days, a GPU to spare": (2.0, 4),
}
"""Shape of the gamma factor of a day (its variance is one over it), and the GPUs of the pool."""
NO_TARGET = {("wild days", "attainment"), ("wild days, a GPU to spare", "attainment")}
"""Here hardly a day a month is bad, and no interval can know of bad days that it has not seen."""
LENGTHS = 7, 14, 30
MONTHS, RESAMPLES = 800, 1000
WAIT, START, IDLE, PER_DAY = 30.0, 120.0, 600.0, 300.0
LEAST, MOST = 0.92, 0.98


def main() -> None:
    """Make days once, and months of them."""
    args = common.arguments(__doc__)
    rows = [row for name in PROCESSES for row in _process(name)]
    failures = [
        f"{row['days']} days, {row['process']}, {row['of']}: {row['holds the truth']:.1%}"
        for row in rows
        if row["days"] == max(LENGTHS)
        and (row["process"], row["of"]) not in NO_TARGET
        and not LEAST <= row["holds the truth"] <= MOST
    ]
    common.finish(args, common.machine("numpy"), rows, failures)


def _process(name: str) -> list[dict[str, Any]]:
    shape, gpus = PROCESSES[name]
    rng = np.random.default_rng(1)
    days = _days(rng, MONTHS * max(LENGTHS), shape, gpus)
    return [_held(name, what, length, days) for what in ("attainment", "difference") for length in LENGTHS]  # fmt: skip


def _days(rng: np.random.Generator, count: int, shape: float, gpus: int) -> Floats:
    """Replay so many days; (count, 3): requests in time, requests, hours on demand less hours of one GPU."""
    evening = 1.1 + np.cos((np.arange(24) - 20) / 24 * 2 * np.pi)
    found = np.zeros((count, 3))
    for day, factor in enumerate(rng.gamma(shape, 1 / shape, count)):
        number = int(rng.poisson(PER_DAY * factor))
        hours = rng.choice(24, number, p=evening / evening.sum())
        arrivals = np.sort((hours + rng.random(number)) * 3600)
        seconds = rng.lognormal(4.2, 0.5, number)
        waits = replay.waits(arrivals, seconds, gpus)
        life = replay.elastic(arrivals, seconds, start=START, idle=IDLE, limit=64)
        on = busy_between(life.started, life.stopped, np.array([0.0, 2 * DAY])).sum() / 3600
        found[day] = (waits <= WAIT).sum(), number, on - 24.0
    return found


def _ratio(over: Floats, under: Floats) -> float:
    return float(over.sum() / under.sum())


def _held(name: str, what: str, length: int, days: Floats) -> dict[str, Any]:
    """Count the months of so many days whose interval holds the truth, and its ends."""
    rng = np.random.default_rng(2)
    weights = rng.multinomial(length, np.full(length, 1 / length), size=RESAMPLES)
    draws = Draws(np.zeros(0, dtype=np.int64), np.arange(length + 1.0), weights.astype(np.float64), DAY)  # fmt: skip
    columns = (0, 1) if what == "attainment" else (2, None)
    over = days[:, columns[0]]
    under = np.ones(len(days)) if columns[1] is None else days[:, columns[1]]
    truth = _ratio(over, under)
    found = []
    for month in range(MONTHS):
        part = slice(month * length, (month + 1) * length)
        found.append(certainty.ratio(draws, over[part], under[part]))
    return {
        "process": name,
        "of": what,
        "days": length,
        "truth": round(truth, 4),
        "holds the truth": float(np.mean([one.low <= truth <= one.high for one in found])),
        "truth below": float(np.mean([truth < one.low for one in found])),
        "truth above": float(np.mean([truth > one.high for one in found])),
    }


if __name__ == "__main__":
    main()
