"""Settings chosen on one part of a trace, by the same search for ours and for the best known two.

Each family has 18 combinations. The cheapest one wins, where cost is GPU-hours and a price for each
violation; ours only among those that reverse no more often than HPA's choice did. What is chosen on
is handed in: nothing here can look at what comes after it.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lightmeter.scaling.hpa import Concurrency
from lightmeter.scaling.policies import Policy, Recommended
from lightmeter.scaling.serverless import Knative
from lightmeter.scaling.state import Settings
from lightmeter.simulate.demand import Demand
from lightmeter.simulate.run import play
from lightmeter.simulate.score import Score, score
from lightmeter.simulate.view import World


OURS, HPA, KNATIVE = "recommended", "hpa-tuned", "knative-tuned"
FAMILIES = HPA, KNATIVE, OURS
CALM = 0.85
"""Ours may reverse so many times as often as HPA's choice, so that a part like the first one does
not exceed it: from GenTD26's first seven days to the next four (2026-11) the ratio of the two
rises by 18 % where it rises most."""
Made = Callable[[], Policy]
Tell = Callable[[float], None]


@dataclass(frozen=True)
class Chosen:
    """The settings that won, in words, and how to make the policy anew."""

    words: str
    make: Made


def cut(demand: Demand, end: float) -> Demand:
    """Return what arrives before ``end``, seconds since the demand's start."""
    inside = demand.arrivals < end
    return Demand(
        demand.arrivals[inside], demand.services[inside], demand.users[inside], demand.start
    )


def grid(family: str, settings: Settings) -> dict[str, Made]:
    """Return the combinations of a family by their words."""
    return {OURS: _ours, HPA: _hpa, KNATIVE: _knative}[family](settings)


def _ours(settings: Settings) -> dict[str, Made]:
    found: dict[str, Made] = {}
    for turn, times, least in itertools.product((250.0, 500.0), (0.7, 1.0, 1.4), (60.0, 300.0, 900.0)):  # fmt: skip
        one = settings._replace(
            price=settings.price * times, turn_price=turn, hold_least=least, violation_target=0.0
        )
        words = f"price {one.price:g}, turn {turn:g}, hold at least {least:g} s"
        found[words] = functools.partial(Recommended, one)
    return found


def _hpa(_: Settings) -> dict[str, Made]:
    return {
        f"target {target:g}, window {window:g} s, at least {least}": functools.partial(
            Concurrency, target, window, least, cooldown=window
        )
        for target, window, least in itertools.product(
            (0.5, 0.7, 1.0), (300.0, 900.0, 1800.0), (0, 1)
        )
    }


def _knative(_: Settings) -> dict[str, Made]:
    return {
        f"target {target:g}, delay {delay:g} s, at least {least}": functools.partial(
            Knative, target, delay, least
        )
        for target, delay, least in itertools.product(
            (0.5, 0.7, 1.0), (300.0, 600.0, 1200.0), (0, 1)
        )
    }


def tried(
    training: Demand, made: Mapping[str, Made], world: World, tell: Tell | None = None
) -> dict[str, Score]:
    """Simulate each combination on the part to choose on; ``tell`` hears the share done."""
    end = float(training.arrivals[-1]) + world.tick
    found = {}
    for done, (words, make) in enumerate(made.items(), 1):
        found[words] = score(play(training, make(), world), training, world, end=end)
        if tell is not None:
            tell(done / len(made))
    return found


def cheapest(results: Mapping[str, Score], price: float, calm: float | None = None) -> str:
    """Name the combination that cost least, of those with at most ``calm`` reversals.

    Where none is so calm, of the calmest.
    """
    limit = calm
    if calm is not None:
        limit = max(calm, min(one.reversals for one in results.values()))
    able = {w: one for w, one in results.items() if limit is None or one.reversals <= limit}
    return min(able, key=lambda words: able[words].cost(price))


def choose(
    training: Demand, settings: Settings, world: World, tell: Tell | None = None
) -> dict[str, Chosen]:
    """Search all `FAMILIES` on a part of a trace; violations cost ``settings.price``."""
    found: dict[str, Chosen] = {}
    calm = None
    for done, family in enumerate(FAMILIES):
        made = grid(family, settings)
        step = None if tell is None else _part(tell, done, len(FAMILIES))
        results = tried(training, made, world, step)
        words = cheapest(results, settings.price, calm if family == OURS else None)
        if family == HPA:
            calm = CALM * results[words].reversals
        found[family] = Chosen(words, made[words])
    return found


def _part(tell: Tell, done: int, parts: int) -> Tell:
    return lambda share: tell((done + share) / parts)
