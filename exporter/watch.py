"""When a sampler is started and ended, and what that says of its GPU: pure, time comes in."""

from __future__ import annotations

from enum import StrEnum

from exporter.snapshot import Health
from lightmeter.catalog import GpuState


STEADY_SECONDS = 10.0
"""After which a sampler that lives counts as well, and its failures as past."""
LONGEST_WAIT = 10.0
"""Between a sampler's end and the next one's start; with `HASTE`, how late a GPU's return is seen."""
HASTE = 5.0
"""How many times longer than its quickest start a sampler may take for a later one."""
LONGEST_START = 120.0
SOON, SELDOM = 5.0, 60.0
"""Seconds between two counts of the GPUs: where something is amiss, and where nothing is."""
MOST_COUNTED = 100
"""Failures in a row; a GPU may be away for days, and a power of two does not hold that many."""
LONGEST_COUNT = 30.0


class Do(StrEnum):
    """What is to be done about a sampler."""

    NOTHING = "nothing"
    START = "start"
    KILL = "kill"


class Watch:
    """Watches one sampler. Moments are seconds of one monotonic clock.

    ``silence`` is how long a GPU may be silent before it counts as hung, ``start`` how long it may
    take to say the first thing. That grows with each failure, for a driver that is slow to begin,
    until it is known how quick it can be.
    """

    def __init__(self, silence: float, start: float) -> None:
        self._silence, self._start = silence, start
        self.state: str = GpuState.STARTING
        self.detail = ""
        self.sampled_at: float | None = None
        self.alive = False
        self._killed = False
        self._begun = 0.0
        self._heard = False
        self._failures = 0
        self._not_before = 0.0
        self._quickest: float | None = None

    def due(self, now: float) -> Do:
        """Tell what is to be done now."""
        if not self.alive:
            return Do.START if now >= self._not_before else Do.NOTHING
        if self._killed or now - self._last() <= self._patience():
            return Do.NOTHING
        return Do.KILL

    def _last(self) -> float:
        return max(self._begun, self.sampled_at or 0.0)

    def _patience(self) -> float:
        if self._heard:
            return self._silence
        if self._quickest is not None:
            return max(2 * self._silence, min(HASTE * self._quickest, LONGEST_START))
        return min(self._start * 2.0**self._failures, LONGEST_START)

    def started(self, now: float) -> None:
        """Take in that a sampler was started."""
        self.alive, self._killed, self._heard, self._begun = True, False, False, now

    def killed(self) -> None:
        """Take in that it was killed for its silence; it may be stuck in the driver and not end."""
        self._killed = True
        self.state, self.detail = GpuState.HUNG, "the driver does not answer"

    def sampled(self, at: float, now: float) -> None:
        """Take in a sample that was taken at a moment."""
        if not self._heard:
            self._quickest = min(now - self._begun, self._quickest or LONGEST_START)
        self._heard = True
        self.sampled_at = at
        self.state, self.detail = GpuState.OK, ""
        if now - self._begun > STEADY_SECONDS:
            self._failures = 0

    def failed(self, state: str, detail: str) -> None:
        """Take in why a sampler cannot go on."""
        self.state, self.detail = state, detail

    def ended(self, now: float) -> None:
        """Take in that its process is gone: the next starts at once, or later after each failure."""
        self.alive = False
        wait = min(2.0 ** (self._failures - 1), LONGEST_WAIT) if self._failures else 0.0
        self._not_before = now + wait
        if self.state != GpuState.MIG_CHANGED:
            self._failures = min(self._failures + 1, MOST_COUNTED)

    def age(self, now: float) -> float | None:
        """Tell the age of the newest sample."""
        return None if self.sampled_at is None else max(0.0, now - self.sampled_at)

    def health(self, now: float, index: int | None, uuid: str | None) -> Health:
        """Tell whether the GPU answers; one that has become silent does not, before it is killed."""
        age = self.age(now)
        state, detail = self.state, self.detail
        if state == GpuState.OK and (age is None or age > self._silence):
            state = GpuState.HUNG if self.alive else GpuState.ERROR
            detail = "no sample" if self.alive else "its sampler ended without a word"
        return Health(
            index=index,
            uuid=uuid,
            up=state == GpuState.OK,
            reason=state,
            age_seconds=age,
            detail=detail,
        )


class CensusWatch:
    """Watches the process that now and then counts the GPUs, and ends by itself."""

    def __init__(self) -> None:
        self.alive = False
        self._killed = False
        self._begun = self._ended = -SELDOM

    def due(self, now: float, *, amiss: bool) -> Do:
        """Tell what is to be done now; ``amiss`` says that a GPU or the driver does not answer."""
        if self.alive:
            late = now - self._begun > LONGEST_COUNT and not self._killed
            return Do.KILL if late else Do.NOTHING
        return Do.START if now - self._ended >= (SOON if amiss else SELDOM) else Do.NOTHING

    def started(self, now: float) -> None:
        """Take in that it was started."""
        self.alive, self._killed, self._begun = True, False, now

    def killed(self) -> None:
        """Take in that it was killed; it may be stuck in the driver and not end."""
        self._killed = True

    def ended(self, now: float) -> None:
        """Take in that it is gone."""
        self.alive, self._ended = False, now
