"""Scaling policies by name: ours, and those that it is measured beside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from lightmeter.errors import ScaleError, nearest
from lightmeter.scaling.decide import decide
from lightmeter.scaling.hpa import Concurrency, Utilisation
from lightmeter.scaling.serverless import Classic, Knative, Ray
from lightmeter.scaling.signals import Observations
from lightmeter.scaling.state import Settings, fresh


class Policy(Protocol):
    """Anything that names a number of replicas when it is shown the fleet."""

    wakes: bool
    """Whether a request that finds no replica is told to it at once, not at the next look."""

    def replicas(self, seen: Observations, now: float) -> int:
        """Return how many replicas there should be; the caller keeps the bounds."""
        ...


class Recommended:
    """`decide`, with its state carried from look to look."""

    wakes = True

    def __init__(self, settings: Settings) -> None:
        self.state = fresh(settings)

    def replicas(self, seen: Observations, now: float) -> int:
        """Name a number of replicas."""
        decision = decide(self.state, seen, now)
        self.state = decision.after
        return decision.to


class Static:
    """Always the same number."""

    wakes = False

    def __init__(self, count: int) -> None:
        self.count = count

    def replicas(self, seen: Observations, now: float) -> int:  # noqa: ARG002  (every policy's signature)
        """Name it."""
        return self.count


def hpa_tuned() -> Concurrency:
    """HPA under KEDA with the settings that cost least on GenTD26's first eleven days.

    One of 18: target 0.5, 0.7, 1; window (and cooldown) 300, 900, 1800 s; at least 0, 1. Start
    180 s, wait 30 s, 900 GPU-seconds a violation; `bench/scaling.py`, measured 2026-11.
    """
    return Concurrency(1.0, 900.0, 0, cooldown=900.0)


def knative_tuned() -> Knative:
    """Knative with the settings found likewise: target 0.5, 0.7, 1; delay 300, 600, 1200 s; least."""
    return Knative(1.0, 1200.0, 0)


POLICIES: dict[str, Callable[[Settings], Policy]] = {
    "recommended": Recommended,
    "classic": lambda _: Classic(),
    "hpa": lambda _: Utilisation(),
    "keda": lambda _: Concurrency(),
    "knative": lambda _: Knative(),
    "ray": lambda _: Ray(),
    "hpa-tuned": lambda _: hpa_tuned(),
    "knative-tuned": lambda _: knative_tuned(),
}
"""How each is made; ``static:N`` and, in the simulator, ``oracle`` are the others."""
ORACLE, STATIC = "oracle", "static"


def check(name: str, most: int) -> None:
    """Refuse a name that is no policy.

    Raises:
        ScaleError: naming the nearest one.
    """
    if name == ORACLE or name in POLICIES:
        return
    kind, colon, count = name.partition(":")
    if kind == STATIC and colon:
        if count.isdecimal() and int(count) <= most:
            return
        raise ScaleError(f"policy {name!r} needs a number of replicas, 0 to the maximum of {most}")
    known = [*POLICIES, ORACLE, f"{STATIC}:N"]
    raise ScaleError(f"no policy {name!r}; there are {', '.join(known)}{nearest(name, known)}")


def make(name: str, settings: Settings) -> Policy:
    """Make a policy that remembers nothing yet.

    Raises:
        ScaleError: there is none of this name.
    """
    check(name, settings.most)
    if name.startswith(f"{STATIC}:"):
        return Static(int(name.partition(":")[2]))
    if name == ORACLE:
        raise ScaleError("the oracle knows the future; only 'lightmeter simulate' can show it")
    return POLICIES[name](settings)
