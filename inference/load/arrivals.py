"""When requests are due. Pure: the same seed is the same schedule."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from lightmeter.catalog import Priority
from lightmeter.errors import SettingError
from lightmeter.units import parse_duration


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request that is due ``at`` seconds after the start; None is what nobody prescribes."""

    at: float = 0.0
    width: int | None = None
    height: int | None = None
    steps: int | None = None
    prompt: str | None = None
    images: int | None = None
    priority: Priority | None = None


def at_once() -> Iterator[Arrival]:
    """Yield arrivals without end, due as soon as a client is free: the closed loop."""
    return itertools.repeat(Arrival())


def poisson(rps: float, seed: int) -> Iterator[Arrival]:
    """Yield arrivals at random, ``rps`` a second on average: many people who know nothing of each other."""
    chance = random.Random(seed)  # noqa: S311  (a load, not a secret)
    at = 0.0
    while True:
        at += chance.expovariate(rps)
        yield Arrival(at)


def uniform(rps: float) -> Iterator[Arrival]:
    """Yield arrivals at even distances, ``rps`` a second."""
    return (Arrival(number / rps) for number in itertools.count())


class Part(Enum):
    """Which part of the run a request belongs to."""

    WARMUP = auto()
    COUNTED = auto()
    OVER = auto()


@dataclass(frozen=True)
class Warmup:
    """What comes first and is left out of the results: so many requests, or so many seconds."""

    requests: int = 0
    seconds: float = 0.0


def parse_warmup(text: str) -> Warmup:
    """Read ``10`` (requests) or ``5s``, ``1m`` (time).

    Raises:
        SettingError: it is neither.
    """
    if text.strip().isdecimal():
        return Warmup(requests=int(text))
    try:
        return Warmup(seconds=parse_duration(text))
    except SettingError as error:
        raise SettingError(
            f"load.warmup is {text!r}: write a number of requests like 10, or a time like 5s"
        ) from error


class Window:
    """Says of each request in turn whether it is warm-up, counted, or after the end."""

    def __init__(self, warmup: Warmup, *, seconds: float, requests: int) -> None:
        """Count for ``seconds`` and ``requests`` after the warm-up; 0 is no limit."""
        self._warmup = warmup
        self._seconds = seconds
        self._requests = requests
        self._warmed = 0
        self._counted = 0
        self.began: float | None = None
        """When the warm-up was over; None until a request came after it."""

    @property
    def ends(self) -> float | None:
        """When the time is up; None where there is no limit or nothing was counted yet."""
        return self.began + self._seconds if self.began is not None and self._seconds else None

    def admit(self, at: float) -> Part:
        """Place the next request, which is due ``at`` seconds after the start."""
        if self._warmed < self._warmup.requests or at < self._warmup.seconds:
            self._warmed += 1
            return Part.WARMUP
        if self.began is None:
            self.began = self._warmup.seconds or (at if self._warmed else 0.0)
        late = self.ends is not None and at >= self.ends
        if late or (self._requests and self._counted >= self._requests):
            return Part.OVER
        self._counted += 1
        return Part.COUNTED
