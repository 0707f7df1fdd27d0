"""Energy of a GPU between two moments, from the counter that an exporter publishes.

The counter is read once a second, off the path of any request. An exporter may renew it more
seldom (dcgm-exporter: every 30 s), so what is kept is when it was seen to change; between two such
moments the power counts as even.
"""

from __future__ import annotations

import asyncio
import bisect
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from lightmeter import catalog
from lightmeter.units import without_password


if TYPE_CHECKING:
    import httpx  # with its own command, 55 ms that a server without an exporter starts sooner

_log = logging.getLogger(__name__)
POLL_SECONDS = 1.0
ANSWER_SECONDS = 2.0
"""How long the exporter may take to answer."""
FRESH_SECONDS = 3.0
"""A change is dated by the reading that shows it, where the reading before is no older than this."""
STALE_SECONDS = 5.0
"""How long after its last change a counter is extrapolated; longer where it changes seldom."""
KEEP_SECONDS = 3600.0
"""How far back one can ask."""
_JOULES_PER_UNIT = {catalog.DCGM_ENERGY: 1e-3, catalog.GPU_ENERGY.name: 1.0}
"""The counters that we know; where both are there the last one counts."""


class Course:
    """One counter's course: the moments when it was seen to change, and what it said then.

    Moments are seconds of a clock that never jumps, values joules.
    """

    def __init__(self) -> None:
        self._moments: list[float] = []
        self._joules: list[float] = []
        self._read = -math.inf
        self._value = math.nan

    def add(self, at: float, joules: float) -> None:
        """Take in a reading; a counter that went back has begun anew, and so do we."""
        if joules < self._value:
            self._moments, self._joules, self._read = [], [], -math.inf
        if joules != self._value and at - self._read <= FRESH_SECONDS:
            self._moments.append(at)
            self._joules.append(joules)
            self._forget(at - KEEP_SECONDS)
        self._read, self._value = at, joules

    def _forget(self, before: float) -> None:
        old = bisect.bisect_left(self._moments, before)
        del self._moments[:old], self._joules[:old]

    def between(self, begin: float, end: float) -> float | None:
        """Joules from ``begin`` to ``end``; None where the readings do not tell."""
        first, last = self._at(begin), self._at(end)
        return None if first is None or last is None else last - first

    def _at(self, moment: float) -> float | None:
        """Estimate the counter: on the line between two changes, or on from the last two."""
        moments, joules = self._moments, self._joules
        if len(moments) < 2 or moment < moments[0]:  # noqa: PLR2004  (two points make a line)
            return None
        right = min(max(bisect.bisect_left(moments, moment), 1), len(moments) - 1)
        left = right - 1
        gap = moments[right] - moments[left]
        if moment - moments[right] > max(STALE_SECONDS, 2 * gap):
            return None
        power = (joules[right] - joules[left]) / gap
        return joules[left] + power * (moment - moments[left])


@dataclass(eq=False)
class Draw:
    """What a GPU drew for one batch, once that is done; None where it is not known."""

    begin: float
    alone: bool
    joules: float | None = None


class EnergyMeter:
    """The courses of all GPUs' counters, by UUID; moments are those of ``clock``, seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._courses: dict[str, Course] = {}
        self._drawing: dict[str, list[Draw]] = {}

    def add(self, at: float, readings: Mapping[str, float]) -> None:
        """Take in what an exporter said at a moment: joules by UUID."""
        for uuid, joules in readings.items():
            self._courses.setdefault(uuid, Course()).add(at, joules)

    def between(self, uuid: str | None, begin: float, end: float) -> float | None:
        """Joules that a GPU drew from ``begin`` to ``end``.

        None where it is not known: no such GPU, too early, or no news of it for too long.
        """
        course = self._courses.get(uuid or "")
        return course.between(begin, end) if course else None

    @contextmanager
    def drawing(self, uuid: str | None) -> Iterator[Draw]:
        """Measure what happens inside; what two share a GPU for at the same time cannot be split."""
        if uuid not in self._courses:
            yield Draw(0.0, alone=False)
            return
        others = self._drawing.setdefault(uuid, [])
        draw = Draw(self.clock(), alone=not others)
        for other in others:
            other.alone = False
        others.append(draw)
        try:
            yield draw
        finally:
            others.remove(draw)
            if draw.alone:
                draw.joules = self.between(uuid, draw.begin, self.clock())


def readings(text: str) -> dict[str, float]:
    """Find the energy counters in an exposition: joules by UUID.

    Raises:
        ValueError: a counter's line is not understood.
    """
    found: dict[str, float] = {}
    lines = [line for line in text.splitlines() if line.startswith(tuple(_JOULES_PER_UNIT))]
    for name, joules in _JOULES_PER_UNIT.items():
        for family in text_string_to_metric_families("\n".join(lines) + "\n"):
            found |= {
                sample.labels["UUID"]: sample.value * joules
                for sample in family.samples
                if sample.name == name and "UUID" in sample.labels and math.isfinite(sample.value)
            }
    return found


async def follow(url: str, meter: EnergyMeter) -> None:
    """Keep a meter up to date from the exporter at ``url``, until cancelled.

    An exporter that cannot be read is said so once, and once when it can be again.
    """
    import httpx

    well, shown = True, without_password(url)
    async with httpx.AsyncClient(timeout=ANSWER_SECONDS, trust_env=False) as client:
        while True:
            fault = await _poll(client, url, meter)
            if fault and well:
                _log.warning("energy is not known: exporter %s %s", shown, fault)
            elif not fault and not well:
                _log.info("energy is known again: exporter %s answers", shown)
            well = not fault
            await asyncio.sleep(POLL_SECONDS)


async def _poll(client: httpx.AsyncClient, url: str, meter: EnergyMeter) -> str:
    """Read the exporter once; return what is wrong with it, or nothing."""
    import httpx

    asked = meter.clock()
    try:
        answer = await client.get(url)
        answer.raise_for_status()
        found = readings(answer.text)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        return f"cannot be read ({type(error).__name__}: {without_password(str(error))})"
    meter.add((asked + meter.clock()) / 2, found)
    return "" if found else f"has neither {' nor '.join(_JOULES_PER_UNIT)}"
