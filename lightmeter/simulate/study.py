"""Several policies on one demand: their rows, how they compare, and what they look like."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lightmeter.replay import Floats
from lightmeter.scaling import policies
from lightmeter.scaling.state import Settings
from lightmeter.simulate import curves, search
from lightmeter.simulate.demand import Demand
from lightmeter.simulate.run import Played
from lightmeter.simulate.score import HOUR, Score, play_named, score
from lightmeter.simulate.view import World


POINTS = 480
"""Of a curve over time."""
CLOSE, CHEAPER, DEARER, SHORT = "too close", "cheaper", "dearer", "too few days"
LEAST_SECONDS = 3600.0
"""Scored history below which policies are not compared: some look back half an hour before they change anything."""
SETTINGS = "wait", "price", "violation_target", "turn_price", "hold_least", "least", "most"
Tell = Callable[[str, float], None]


@dataclass(frozen=True)
class Study:
    """What is to be compared. Times in seconds since the demand's start."""

    names: Sequence[str]
    demand: Demand
    settings: Settings
    world: World
    begin: float = 0.0
    """What arrives before is simulated and not scored."""
    split: bool = False
    """Settings are chosen on what arrives before ``begin``."""
    sweep: Sequence[float] = ()
    """Start times to repeat everything with; the settings stay."""


def run(study: Study, tell: Tell) -> dict[str, Any]:
    """Simulate all of it; ``tell`` hears what is done and which share of it.

    A history under `LEAST_SECONDS` gives no regret and no differences.
    """
    chosen = _chosen(study, tell) if study.split else {}
    played = {name: _play(study, study.world, chosen, (name, tell)) for name in study.names}
    reference = score(
        play_named(policies.ORACLE, study.demand, study.settings, study.world),
        study.demand,
        study.world,
        begin=study.begin,
    )
    covered = float(study.demand.arrivals[-1]) - study.begin
    rows = [_row(study, name, one, reference) for name, one in played.items()]
    for row in rows:
        if row["policy"] in chosen:
            row["chosen"] = chosen[row["policy"]].words
    if covered >= LEAST_SECONDS:
        _compare(study, rows, played)
    else:
        rows = [{**row, "regret_ratio": None} for row in rows]
    return {
        "requests": int((study.demand.arrivals >= study.begin).sum()),
        "first": study.demand.start + study.begin,
        "last": study.demand.start + float(study.demand.arrivals[-1]),
        "chosen_before": study.demand.start + study.begin if study.split else None,
        "settings": {key: getattr(study.settings, key) for key in SETTINGS},
        "cold_start_seconds": study.world.cold_start,
        "jitter": study.world.jitter,
        "policies": rows,
        "sweep": [_swept(study, seconds, chosen, tell) for seconds in study.sweep],
        "curves": _curves(study, played),
    }


def _chosen(study: Study, tell: Tell) -> dict[str, search.Chosen]:
    training = search.cut(study.demand, study.begin)
    found = search.choose(
        training, study.settings, study.world, lambda share: tell("choosing", share)
    )
    return {name: one for name, one in found.items() if name in study.names}


def _play(
    study: Study, world: World, chosen: dict[str, search.Chosen], whom: tuple[str, Tell]
) -> Played:
    name, tell = whom
    settings = study.settings._replace(cold_start=world.cold_start)
    label = f"{name}, start {world.cold_start:g} s"
    played = play_named(
        name,
        study.demand,
        settings,
        world,
        make=chosen[name].make if name in chosen else None,
        tell=lambda share: tell(label, share),
    )
    tell(label, 1.0)
    return played


def _row(study: Study, name: str, played: Played, reference: Score) -> dict[str, Any]:
    found = score(played, study.demand, study.world, begin=study.begin)
    regret = found.gpu_hours / reference.gpu_hours - 1 if reference.gpu_hours else None
    cost = found.cost(study.settings.price)
    return {**found.row(name), "cost_gpu_hours": cost, "regret_ratio": regret}


def _compare(study: Study, rows: list[dict[str, Any]], played: dict[str, Played]) -> None:
    """Add to each row how its cost differs from that of the cheapest other one."""
    real = [row for row in rows if row["policy"] != policies.ORACLE]
    days: dict[str, Floats] = {
        row["policy"]: curves.by_day(played[row["policy"]], study.demand, study.world, begin=study.begin, price=study.settings.price)
        for row in real
    }  # fmt: skip
    for row in real:
        others = [other for other in real if other is not row]
        if others:
            best = min(others, key=lambda other: float(other["cost_gpu_hours"]))
            row["difference"] = _difference(row, best, days)


def _difference(
    row: dict[str, Any], other: dict[str, Any], days: dict[str, Floats]
) -> dict[str, Any]:
    found = curves.difference(days[row["policy"]], days[other["policy"]])
    amount = row["cost_gpu_hours"] - other["cost_gpu_hours"]
    if found is None:
        verdict = SHORT
    elif found[0] <= 0 <= found[1]:
        verdict = CLOSE
    else:
        verdict = DEARER if amount > 0 else CHEAPER
    return {
        "to": other["policy"],
        "gpu_hours": amount,
        "low": None if found is None else found[0],
        "high": None if found is None else found[1],
        "verdict": verdict,
    }


def _swept(
    study: Study, seconds: float, chosen: dict[str, search.Chosen], tell: Tell
) -> dict[str, Any]:
    world = replace(study.world, cold_start=seconds)
    found = {
        name: score(_play(study, world, chosen, (name, tell)), study.demand, world, begin=study.begin)
        for name in study.names
    }  # fmt: skip
    return {
        "cold_start_seconds": seconds,
        "policies": [
            {**one.row(name), "cost_gpu_hours": one.cost(study.settings.price)}
            for name, one in found.items()
        ],
    }


def _curves(study: Study, played: dict[str, Played]) -> dict[str, Any]:
    demand, begin = study.demand, study.begin
    end = max(float((demand.arrivals + demand.services).max()), begin + 1.0)
    edges = np.linspace(begin, end, POINTS + 1)
    inside = demand.arrivals >= begin
    longest = max([float(np.max(one.waits[inside & np.isfinite(one.waits)], initial=1.0)) for one in played.values()])  # fmt: skip
    limits = np.concatenate([[0.0], np.geomspace(1.0, max(2.0, longest), 80)])
    return {
        "hours": _short(edges / HOUR),
        "busy": _short(curves.mean_count(demand.arrivals, demand.arrivals + demand.services, edges)),
        "replicas": {name: _short(curves.mean_count(one.lives[:, 0], one.lives[:, 1], edges)) for name, one in played.items()},
        "wait_seconds": _short(limits),
        "within": {name: _short(curves.within(one.waits[inside], limits), 5) for name, one in played.items()},
    }  # fmt: skip


def _short(values: Floats, digits: int = 3) -> list[float]:
    found: list[float] = np.round(values, digits).tolist()
    return found
