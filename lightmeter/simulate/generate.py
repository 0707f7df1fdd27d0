"""A made-up demand in the form of a public picture service: users who come in sessions.

Its shape, not its rows: a daily rhythm, sessions of geometric length, lognormal pauses within one
and lognormal service times. The numbers are those of GenTD26 (cluster-trace-v2026-GenAI,
https://github.com/alibaba/clusterdata), counted 2026-11: 4.5 requests a session, a median pause of
73 s of which 84 % are under 300 s, service times with mu 3.196 and sigma 0.549 of the logarithm.
"""

from __future__ import annotations

import numpy as np

from lightmeter.simulate.demand import Demand


DAY = 86_400.0
SESSION, PAUSE_MEDIAN, PAUSE_SIGMA = 4.54, 73.0, 1.42
MU, SIGMA = 3.196, 0.549
PER_DAY = 1160.0
"""Requests a day, mean."""
RHYTHM = 0.9
"""How deep the nights are: 0 is none, 1 is silence at the quietest hour."""


def sessions(days: float, *, per_day: float = PER_DAY, seed: int = 1) -> Demand:
    """Make a demand of so many days: about ``per_day`` requests on each, the same for a seed."""
    rng = np.random.default_rng(seed)
    count = max(1, rng.poisson(days * per_day / SESSION))
    begins = _begins(rng, count, days)
    sizes = rng.geometric(1 / SESSION, count)
    session = np.repeat(np.arange(count), sizes)
    pauses = np.exp(rng.normal(np.log(PAUSE_MEDIAN), PAUSE_SIGMA, len(session)))
    firsts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    pauses[firsts] = 0.0
    run = np.cumsum(pauses)
    at = begins[session] + run - run[firsts][session]
    order = np.argsort(at, kind="stable")
    order = order[at[order] < days * DAY]
    return Demand(
        arrivals=at[order],
        services=np.exp(rng.normal(MU, SIGMA, len(order))),
        users=session[order].astype(np.int64),
    )


def _begins(rng: np.random.Generator, count: int, days: float) -> np.ndarray:
    """Draw when sessions begin: more in the evening than at night, days unlike each other."""
    at = rng.uniform(0, days * DAY, 8 * count)
    busy = np.exp(rng.normal(0, 0.5, int(np.ceil(days)) + 1))
    weight = (1 + RHYTHM * np.cos(2 * np.pi * (at / DAY - 20 / 24))) * busy[(at / DAY).astype(int)]
    return np.sort(rng.choice(at, count, replace=False, p=weight / weight.sum()))
