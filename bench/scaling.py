"""Scaling policies on a production trace, each with the best settings of the same search.

`bench/scaling_pick.py` chooses the settings on what arrived before the split, by cost = GPU-hours + price
x violations, from a grid of 18 for each family, ours among those that reverse less often than HPA's
choice; here they are scored on the days after. ``--cells A180 B20`` limits the run, ``--seed 7``
takes a generated demand that nothing was ever chosen on, with the same search on its own first
eleven days. A cell takes about 25 s.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import time
from typing import Any

import numpy as np

from bench import common
from bench.scaling_pick import DAY, PEERS, TARGET, Cell, cells, pick, trace
from lightmeter.replay import Floats
from lightmeter.scaling.policies import Policy, Recommended
from lightmeter.scaling.state import Settings
from lightmeter.simulate import generate, search
from lightmeter.simulate.run import Played, play
from lightmeter.simulate.score import HOUR, held, oracle, score
from lightmeter.simulate.view import World


LEAST_GAIN, MILLION = 0.9, 10.0
FAMILIES = {search.OURS: search.OURS, **PEERS}


def main() -> None:
    """Search, score and print; end with 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--cells", nargs="*", help="model and start, like A180; all by default")
    parser.add_argument("--seed", type=int, help="generated demand of this seed, not the trace")
    args = parser.parse_args()
    real = trace() is not None and args.seed is None
    about = common.machine("numpy") | {"trace": "GenTD26" if real else "generated"}
    found: list[dict[str, Any]] = []
    for cell in cells(args.cells, args.seed):
        found += _compare(cell)
    about["1,000,000 requests s"] = f"{_million():.1f}"
    about["median ratio"] = f"{statistics.median(row['ratio'] for row in found):.3f}"
    common.finish(args, about, found, _failures(about, found))


def _failures(about: dict[str, str], found: list[dict[str, Any]]) -> list[str]:
    failures = [f"{row['cell']} at {row['price']:.0f}: {row['ratio']:.3f} of the best tuned peer" for row in found if row["ratio"] >= 1]  # fmt: skip
    if float(about["1,000,000 requests s"]) > MILLION:
        failures.append(f"1,000,000 requests took {about['1,000,000 requests s']} s, target {MILLION}")  # fmt: skip
    if float(about["median ratio"]) > LEAST_GAIN:
        failures.append(f"median ratio {about['median ratio']}, target {LEAST_GAIN}")
    failures += [f"{row['cell']} at {row['price']:.0f}: {row['reversals']} reversals, HPA {row['hpa reversals']}" for row in found if row["reversals"] > row["hpa reversals"]]  # fmt: skip
    failures += [f"{row['cell']}: {row['kept %']:.2f} % with a target of 2 %" for row in found if row["kept %"] > 100 * TARGET]  # fmt: skip
    return failures


def _million() -> float:
    """Seconds to simulate ``recommended`` on a million generated requests of 23 days."""
    demand = generate.sessions(23.0, per_day=43_500.0, seed=1)
    begin = time.perf_counter()
    play(demand, Recommended(Settings(most=64)), World(most=64))
    return (time.perf_counter() - begin) * 1e6 / len(demand)


def _compare(cell: Cell) -> list[dict[str, Any]]:
    """Compare the families at both prices; the same choice is simulated once for both."""
    begin = time.perf_counter()
    picked = pick(cell)
    whole: dict[tuple[str, str], Played] = {}
    found = []
    for price, words in picked.by_price.items():
        chosen = {}
        for name, family in FAMILIES.items():
            key = name, words[name]
            if key not in whole:
                make = search.grid(family, cell.settings(price))[words[name]]
                whole[key] = play(cell.demand, make(), cell.world)
            chosen[name] = (words[name], whole[key])
        found.append(_row(cell, price, chosen))
    kept = _kept(cell, picked.within)
    print(f"{cell.name}: {time.perf_counter() - begin:.0f} s", file=sys.stderr, flush=True)
    return [row | kept for row in found]


def _kept(cell: Cell, within: dict[str, str]) -> dict[str, float]:
    """Score the test days for who should keep 2 % of violations there.

    Ours is told so and searches nothing; a peer gets the settings that held the fewest GPU-hours
    among those with at most 2 % on the training days (or with the fewest violations).
    """
    settings = cell.settings(Settings().price)._replace(violation_target=TARGET)
    told: dict[str, Policy] = {"kept": Recommended(settings)}
    for name, words in within.items():
        told[f"{name} kept"] = search.grid(PEERS[name], settings)[words]()
    scores = {
        name: score(
            play(cell.demand, policy, cell.world), cell.demand, cell.world, begin=cell.split
        )
        for name, policy in told.items()
    }
    shares = {f"{name} %": 100 * one.violation_ratio for name, one in scores.items()}
    return shares | {f"{name} GPU-h": one.gpu_hours for name, one in scores.items()}


def _row(cell: Cell, price: float, chosen: dict[str, tuple[str, Played]]) -> dict[str, Any]:
    scores = {name: score(played, cell.demand, cell.world, begin=cell.split) for name, (_, played) in chosen.items()}  # fmt: skip
    costs = {name: one.cost(price) for name, one in scores.items()}
    peer = min(PEERS, key=costs.__getitem__)
    by_day = {name: _by_day(cell, price, chosen[name][1]) for name in (search.OURS, peer)}
    low, high = _interval(by_day[search.OURS], by_day[peer])
    reference = score(oracle(cell.demand, cell.world), cell.demand, cell.world, begin=cell.split)
    return {
        "cell": cell.name,
        "price": price,
        **costs,
        "ratio": costs[search.OURS] / costs[peer],
        "95 %": f"{low:.2f}-{high:.2f}",
        "violations %": 100 * scores[search.OURS].violation_ratio,
        "peer's %": 100 * scores[peer].violation_ratio,
        "reversals": scores[search.OURS].reversals,
        "hpa reversals": scores["hpa"].reversals,
        "oracle": reference.gpu_hours,
        **{f"{name} chosen": words for name, (words, _) in chosen.items()},
    }


def _by_day(cell: Cell, price: float, played: Played) -> Floats:
    """Cost of each test day, GPU-hours; the last one is a part."""
    edges = np.arange(cell.split, played.end + DAY, DAY)
    late = cell.demand.arrivals[played.waits > cell.world.wait]
    hours = [held(played.lives, a, b) / HOUR for a, b in itertools.pairwise(edges)]
    costs: Floats = np.asarray(hours) + np.histogram(late, edges)[0] * price / HOUR
    return costs


def _interval(ours: Floats, theirs: Floats) -> tuple[float, float]:
    """95 % of the ratio over days drawn with replacement, the same days for both."""
    rng = np.random.default_rng(1)
    n = min(len(ours), len(theirs))
    draws = rng.integers(0, n, (4000, n))
    ratios = ours[draws].sum(axis=1) / theirs[draws].sum(axis=1)
    low, high = np.quantile(ratios, [0.025, 0.975]).tolist()
    return low, high


if __name__ == "__main__":
    main()
