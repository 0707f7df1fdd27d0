"""Choose the settings that `bench/scaling.py` scores, on what came before the split and nothing else.

The demand is cut before anything looks at it: what is returned depends on no request that arrived
later. The trace is GenTD26's request log (``LIGHTMETER_TRACES`` names the folder); model A takes its
execution times and allows 30 s of waiting, model B takes 3.2 s for each picture and allows 10 s.
The split is midnight (UTC) before 2024-11-26. Without the trace a generated demand of the same form is used (``--seed`` chooses which), split after eleven days.
Prints the choices as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from lightmeter.scaling.state import Settings
from lightmeter.simulate import generate, rows, search
from lightmeter.simulate.demand import Demand
from lightmeter.simulate.score import Score
from lightmeter.simulate.view import World


DAY = 86_400.0
SPLIT, MADE_SPLIT = "2024-11-26", "11d"
MODELS = {"A": (None, 30.0), "B": (3.2, 10.0)}
"""Seconds for each picture (None: the trace's own times), allowed wait."""
STARTS, PRICES = (20.0, 60.0, 180.0, 240.0), (300.0, 900.0)
TARGET = 0.02
PEERS = {"hpa": search.HPA, "knative": search.KNATIVE}


class Cell(NamedTuple):
    """A service model and a start time."""

    model: str
    demand: Demand
    world: World
    split: float
    """Where the first part ends, seconds from the first request."""

    @property
    def name(self) -> str:
        """Name the model and the start, like A180."""
        return f"{self.model}{self.world.cold_start:.0f}"

    def settings(self, price: float) -> Settings:
        """Return what ours starts from."""
        return Settings(wait=self.world.wait, price=price)


class Picked(NamedTuple):
    """What was chosen for a cell, in words."""

    by_price: dict[float, dict[str, str]]
    """The family's choice by price: recommended, hpa, knative."""
    within: dict[str, str]
    """The peers' choices for `TARGET`."""


def trace() -> Path | None:
    """Return where the trace is, None where it is not."""
    folder = os.environ.get("LIGHTMETER_TRACES")
    return Path(folder) / "gentd26" / "requests.csv.gz" if folder else None


def cells(names: list[str] | None = None, seed: int | None = None) -> list[Cell]:
    """Return the cells, all by default; a seed takes generated demand even where there is a trace."""
    found = []
    for model, (per_image, wait) in MODELS.items():
        demand = _demand(per_image, seed)
        split = rows.moment(
            MADE_SPLIT if trace() is None or seed is not None else SPLIT, demand.start
        )
        found += [
            Cell(model, demand, World(cold_start=start, wait=wait), split) for start in STARTS
        ]
    return [cell for cell in found if not names or cell.name in names]


def _demand(per_image: float | None, seed: int | None) -> Demand:
    path = trace() if seed is None else None
    if path is None:
        made = generate.sessions(16.3, seed=seed or 1)
        return made if per_image is None else replace(made, services=made.services / 9)
    from planner import importers

    frame = importers.read("gentd26", path)[0].select(list(rows.COLUMNS)).to_pandas()
    frame = frame.sort_values("arrived_at", kind="stable", ignore_index=True)
    return rows.from_frame(frame, per_image)


def pick(whole: Cell) -> Picked:
    """Search the three families for a cell, at both prices and for the target."""
    cell = whole._replace(demand=search.cut(whole.demand, whole.split))
    peers = {
        name: search.tried(cell.demand, search.grid(family, cell.settings(0.0)), cell.world)
        for name, family in PEERS.items()
    }
    by_price = {price: _priced(cell, price, peers) for price in PRICES}
    return Picked(by_price, {name: _within(results) for name, results in peers.items()})


def _priced(cell: Cell, price: float, peers: dict[str, dict[str, Score]]) -> dict[str, str]:
    chosen = {name: search.cheapest(results, price) for name, results in peers.items()}
    ours = search.tried(cell.demand, search.grid(search.OURS, cell.settings(price)), cell.world)
    calm = search.CALM * peers["hpa"][chosen["hpa"]].reversals
    return {search.OURS: search.cheapest(ours, price, calm), **chosen}


def _within(results: dict[str, Score]) -> str:
    """Name the settings with the fewest GPU-hours among those that keep the target, or come closest."""
    limit = max(TARGET, min(one.violation_ratio for one in results.values()))
    able = {words: one for words, one in results.items() if one.violation_ratio <= limit}
    return min(able, key=lambda words: able[words].gpu_hours)


def main() -> None:
    """Print the choices."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", nargs="*", help="model and start, like A180; all by default")
    parser.add_argument("--seed", type=int, help="generated demand of this seed, not the trace")
    args = parser.parse_args()
    print(json.dumps({cell.name: pick(cell) for cell in cells(args.cells, args.seed)}, indent=2))


if __name__ == "__main__":
    main()
