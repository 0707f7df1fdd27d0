"""From samples to totals: pure, without clock or device. Times are seconds, shares 0..1.

A counter that adds up what the driver sampled is exact at any scrape interval, where a gauge shows
only the moment of the scrape.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Collection, Iterable, Sequence


USUAL_PERIOD = 1 / 6
"""Seconds between two samples of the driver's ring where it has not yet shown: NVML's shortest,
https://docs.nvidia.com/deploy/nvml-api/structnvmlUtilization__t.html."""
GAP_PERIODS = 2.5
"""Two samples that are further apart have lost others between them, or the ring was dry."""
PATIENCE = 1.5
"""Seconds without a new sample after which polled values count instead of samples still to come."""
Sample = tuple[float, float]
"""When, on the driver's clock, and the average since the sample before; or for how long, and what."""


class SlidingMax:
    """The highest value of the last ``window`` seconds, or up to one ``slot`` more.

    Reading it takes nothing away, so any number of scrapers see the same peak.
    """

    def __init__(self, window: float, slot: float = 1.0) -> None:
        self._window, self._slot = window, slot
        self._slots: deque[tuple[int, float]] = deque()

    def add(self, at: float, value: float) -> None:
        """Take in a value; moments never go back."""
        slot = int(at // self._slot)
        if self._slots and self._slots[-1][0] == slot:
            value = max(value, self._slots.pop()[1])
        self._slots.append((slot, value))

    def value(self, at: float) -> float | None:
        """Tell the highest value at a moment; None where there is none."""
        while self._slots and (self._slots[0][0] + 1) * self._slot < at - self._window:
            self._slots.popleft()
        return max((value for _, value in self._slots), default=None)


class RingMeter:
    """Integrates the driver's sample ring: ``active`` seconds, and ``covered`` ones.

    A ring that has nothing new is not without data: it runs dry where the GPU is idle, so the polled
    value stands in. Where such a ring also has half a second or more between its samples, short
    pauses cannot be told from samples to come, and one in thirty rhythms is off by more than half a
    percentage point (simulated 2026-11). All moments of samples are of the driver's clock, of which nothing is known but
    that it runs as fast as ours; ``elapsed`` is ours.
    """

    def __init__(self) -> None:
        self.active, self.covered, self.seen = 0.0, 0.0, 0.0
        self._until: float | None = None
        self._begun = False
        self._spans: deque[float] = deque([USUAL_PERIOD], maxlen=9)
        self._polls: list[Sample] = []
        self._quiet = 0.0

    def add(
        self, samples: Sequence[Sample], polled: float | None, elapsed: float, *, ring: bool = True
    ) -> None:
        """Take in what came in the last ``elapsed`` seconds.

        ``polled`` is the driver's present value, needed only where no sample is new; ``ring`` says
        whether the device has a ring at all.
        """
        if not self._begun and samples:
            self._begin(samples)
            return
        self._begun = True
        fresh = sorted(sample for sample in samples if sample[0] > self.seen)
        if fresh:
            self._take(fresh)
            return
        if samples and max(samples)[0] < self.seen - 1:
            self._begin(samples)
        self._quiet += elapsed
        if polled is not None:
            self._polls.append((elapsed, polled))
        if not ring or (self._quiet > PATIENCE and self._settled()):
            self._fill(math.inf, self._polls)

    def _settled(self) -> bool:
        """Tell whether samples of the polled time are no longer to be expected.

        The ring may lag behind the poll, so the first work after a pause gets patience anew.
        """
        work = next((i for i, (_, share) in enumerate(self._polls) if share), None)
        return work is None or sum(elapsed for elapsed, _ in self._polls[work:]) > PATIENCE

    def _begin(self, samples: Sequence[Sample]) -> None:
        """Start from what the ring holds, without counting it."""
        moments = sorted(at for at, _ in samples)
        self._spans.extend(later - sooner for sooner, later in itertools.pairwise(moments))
        self.seen = self._until = moments[-1]
        self._begun = True

    def _take(self, fresh: Sequence[Sample]) -> None:
        for at, share in fresh:
            period = sorted(self._spans)[len(self._spans) // 2]
            span = at - self.seen if self.seen else period
            self._spans.append(span)
            begin = at - (span if span <= GAP_PERIODS * period else period)
            if self._until is not None and begin > self._until:
                self._fill(begin - self._until, [poll for poll in self._polls if not poll[1]])
            begin = begin if self._until is None else max(begin, self._until)
            if at > begin:
                self._count(at - begin, share)
            self.seen = at
            self._until = max(at, self._until or at)
        self._polls.clear()
        self._quiet = 0.0

    def _fill(self, seconds: float, polls: Sequence[Sample]) -> None:
        """Let polled values stand in, for no longer than they were taken."""
        polled = sum(elapsed for elapsed, _ in polls)
        if polled:
            length = min(seconds, polled)
            self._count(length, sum(elapsed * share for elapsed, share in polls) / polled)
            self._until = None if self._until is None else self._until + length
        self._polls.clear()

    def _count(self, seconds: float, share: float) -> None:
        self.active += share * seconds
        self.covered += seconds


class ProcessMeter:
    """Integrates the shares of processes: seconds of work since each was first seen, by pid."""

    def __init__(self) -> None:
        self.busy: dict[int, float] = {}
        self.seen = 0.0
        self._last: dict[int, float] = {}

    def add(self, samples: Iterable[tuple[int, float, float]], asked: float) -> None:
        """Take in (pid, moment, share since ``asked`` or since the sample before).

        ``asked`` is 0 where the driver's clock was not known; nothing is counted then.
        """
        for pid, at, share in sorted(samples, key=lambda sample: sample[1]):
            begin = max(self._last.get(pid, asked), asked)
            if asked and at > begin:
                self.busy[pid] = self.busy.get(pid, 0.0) + share * (at - begin)
            self._last[pid] = max(at, begin)
            self.seen = max(at, self.seen)

    def keep(self, pids: Collection[int]) -> None:
        """Forget processes that are gone."""
        self.busy = {pid: self.busy.get(pid, 0.0) for pid in pids}
        self._last = {pid: at for pid, at in self._last.items() if pid in self.busy}


class Integral:
    """Integrates a gauge that is read now and then, by trapezoids; a gap of ``limit`` is left out."""

    def __init__(self, limit: float) -> None:
        self.total, self._limit = 0.0, limit
        self._last: tuple[float, float] | None = None

    def add(self, at: float, value: float) -> None:
        """Take in a reading."""
        if self._last and 0 < at - self._last[0] <= self._limit:
            self.total += (at - self._last[0]) * (value + self._last[1]) / 2
        self._last = at, value


class Native:
    """A counter that the driver keeps. It goes on where the driver's begins anew."""

    def __init__(self) -> None:
        self._base, self._last = 0.0, 0.0

    def add(self, value: float) -> float:
        """Take in the driver's value; return ours."""
        if value < self._last:
            self._base += self._last
        self._last = value
        return self._base + value
