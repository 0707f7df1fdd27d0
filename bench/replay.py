"""The replay kernel against SimPy and Ciw: M/M/4 at load 0.8, the same 100,000 arrivals for all.

Every engine is timed once in each round, so that a slow moment of the machine hits them alike.
Times are whole 2**-20 s, so that no engine has a rounding error and the waits must be equal.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from bench import common
from lightmeter import replay
from lightmeter.replay import Floats


CUSTOMERS, SERVERS, LOAD, SEED, ROUNDS = 100_000, 4, 0.8, 1, 7
LEAST = {"lightmeter, python": 50.0, "lightmeter, numba": 500.0}
"""Times as fast as SimPy, by the best of the rounds."""
Run = Callable[[Floats, Floats, int], Floats]


def main() -> None:
    """Time the engines and compare their waits."""
    args = common.arguments(__doc__)
    common.support()
    from support import oracles

    engines: dict[str, Run] = {
        "SimPy": oracles.simpy_waits,
        "Ciw": oracles.ciw_waits,
        "lightmeter, python": lambda a, s, c: replay.waits(a, s, c, "python"),
        "lightmeter, numba": lambda a, s, c: replay.waits(a, s, c, "numba"),
    }
    rng = np.random.default_rng(SEED)
    arrivals = oracles.arrivals_at(LOAD * SERVERS, CUSTOMERS, seed=SEED + 1)
    services = oracles.on_grid(rng.exponential(1.0, CUSTOMERS))
    engines["lightmeter, numba"](arrivals, services, SERVERS)  # compiles

    seconds: dict[str, list[float]] = {name: [] for name in engines}
    waits: dict[str, Floats] = {}
    for _ in range(ROUNDS):
        for name, engine in engines.items():
            gc.collect()  # nobody pays for what another one left behind
            begin = time.perf_counter()
            waits[name] = engine(arrivals, services, SERVERS)
            seconds[name].append(time.perf_counter() - begin)
    rows = [_row(name, seconds, waits) for name in engines]
    about = common.machine("numpy", "numba", "simpy", "Ciw") | {"rounds": ROUNDS}
    common.finish(args, about, rows, _failures(rows))


def _row(name: str, seconds: dict[str, list[float]], waits: dict[str, Floats]) -> dict[str, Any]:
    best = min(seconds[name])
    return {
        "engine": name,
        "best s": best,
        "median s": statistics.median(seconds[name]),
        "customers/s": CUSTOMERS / best,
        "x SimPy": min(seconds["SimPy"]) / best,
        "max difference of waits, s": float(np.abs(waits[name] - waits["SimPy"]).max()),
    }


def _failures(rows: list[dict[str, Any]]) -> list[str]:
    found = [
        f"{row['engine']}: waits differ from SimPy's by up to {row['max difference of waits, s']} s"
        for row in rows
        if row["max difference of waits, s"] != 0
    ]
    return found + [
        f"{row['engine']}: {row['x SimPy']:.0f} times SimPy, the limit is {LEAST[row['engine']]:.0f}"
        for row in rows
        if row["x SimPy"] < LEAST.get(row["engine"], 0.0)
    ]


if __name__ == "__main__":
    main()
