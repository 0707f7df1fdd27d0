"""The loop: look, decide, write down, act. One step is a function of what is seen and remembered.

Two threads: one looks every so often, however long that takes; the other decides on what was seen
last, as soon as there is something new to decide on, an alert too.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from alerts.levels import Level
from alerts.scale.alerted import Alerted
from alerts.scale.audit import Audit
from alerts.scale.fleet import Fleet, Target
from alerts.scale.jumps import Jumps
from alerts.scale.lease import Writer
from alerts.scale.look import Look, believed
from alerts.scale.memory import Memory
from alerts.scale.observe import Source
from alerts.scale.starts import Starts
from alerts.scale.told import Told, merged
from alerts.scale.watch import Watcher
from lightmeter.errors import AuditError, TargetError
from lightmeter.scaling import terms
from lightmeter.scaling.decide import decide
from lightmeter.scaling.decision import Decision
from lightmeter.scaling.signals import Observations
from lightmeter.scaling.state import Settings, State, adopt, fresh, shifted


_log = logging.getLogger(__name__)
Mode = Literal["advisory", "act"]
ADVISORY = "advisory: nothing was done"
LEAST_SECONDS = 0.01
"""Between two decisions, however much is told; what comes meanwhile is decided on together."""
PATIENCE_SECONDS = 120.0
"""At least: a program that scales may run for a minute, and the look before it for half of one."""
WAKE_SECONDS = 1.0
"""Between two decisions for who wakes, unless only the second has somebody who waits."""


@dataclass
class Scaler:
    """Scales one target. `run` is its life; `hold` and `freeze` are called by requests."""

    target: Target
    source: Source
    audit: Audit
    lease: Writer
    settings: Settings
    mode: Mode
    watcher: Watcher
    clock: Callable[[], float]
    """Unix seconds."""
    steady: Callable[[], float] | None = None
    """Seconds that never jump, of the clock that the alerts' levels go by; else ``clock``."""
    recall: Callable[[], Memory] = Memory
    """Tells what is known of the time before the right to act was ours."""
    starts: Starts | None = None
    """Where the target tells who is ready."""
    started: Callable[[float], None] = lambda _: None
    """Hears how long each start took, seconds."""
    patience: float = PATIENCE_SECONDS
    """Seconds without a turn of the loop, after which it is stuck; or without a decision, after which nothing is scaled."""
    alerts: Alerted = field(default_factory=Alerted)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _deciding: threading.Lock = field(default_factory=threading.Lock)
    """One decision at a time, whoever asks for it."""
    _told: Told | None = None
    _risen: float | None = None
    """When a first replica was asked for."""

    def __post_init__(self) -> None:
        self.state: State = fresh(self.settings)
        self._steady = self.steady or self.clock
        self._jumps = Jumps(self.clock, self._steady)
        self._begins, self._unseen = False, ""
        self._heard = self._turned = self._steady()
        self._woken: tuple[float, bool, dict[str, Any] | None] = 0.0, False, None
        self._last: Look | None = None
        self._wake = threading.Event()
        self.cold_start = self.settings.cold_start
        """Seconds, as known at the last decision."""
        self.failures = 0
        """Looks and decisions that failed in a way that nobody thought of."""

    def hold(self, levels: tuple[Level, ...]) -> None:
        """Take over the alerts that hold now; where they are others than before, decide at once."""
        with self._lock:
            others = self.alerts.hold(levels)
        if others:
            self._wake.set()

    def freeze(self, until: float | None) -> None:
        """Leave everything as it is until a moment, Unix seconds; None ends that."""
        with self._lock:
            self._heed_jumps()
            self.state = self.state._replace(frozen_until=until)
        self._wake.set()

    def wake(self, readings: dict[str, float]) -> dict[str, Any] | None:
        """Decide at once, with what somebody who holds requests says of them; return the record.

        None where another one scales, or nothing can be written down. Who asks again within a second
        hears the same, so that no caller can fill the audit.
        """
        with self._lock:
            self._told = Told(self._steady(), readings)
        somebody = bool(readings.get("in_flight"))
        at, before, record = self._woken
        if record and before >= somebody and 0 <= self._steady() - at < WAKE_SECONDS:
            return record
        if self._last is None or self._last.fleet is None:
            self.look()
        record = self.decide()
        self._woken = self._steady(), somebody, record
        return record

    def remaining(self) -> float | None:
        """Tell the seconds until the first replica is expected; None where none was asked for."""
        if self._risen is None:
            return None
        return max(0.0, self._risen + self.cold_start - self._steady())

    def silent(self) -> float:
        """Tell the seconds since the last decision, or since it was seen that another one scales."""
        return max(0.0, self._steady() - self._heard)

    def still(self) -> float:
        """Tell the seconds since the loop last came round, whatever came of it."""
        return max(0.0, self._steady() - self._turned)

    def run(self, interval: float, stop: threading.Event) -> None:
        """Look every so many seconds and decide on what is new, until ``stop`` and `end`."""
        looking = threading.Thread(target=self._keep_looking, args=(interval, stop), name="looks")
        looking.start()
        while not stop.is_set():
            self._wake.wait()
            self._wake.clear()
            if not stop.is_set():
                self._try(self.decide)
            stop.wait(LEAST_SECONDS)
        looking.join()

    def end(self) -> None:
        """Wake the loop up for its end."""
        self._wake.set()

    def _keep_looking(self, interval: float, stop: threading.Event) -> None:
        while not stop.is_set():
            self._try(self.look)
            self._wake.set()  # also where nothing could be seen: readings are older now
            stop.wait(interval)

    def _try(self, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception:  # noqa: BLE001  (the edge of a thread: this one is lost, the next is taken)
            self.failures += 1
            _log.exception("a look failed; nothing is scaled by it")

    def step(self) -> dict[str, Any] | None:
        """Look and decide; return the record, or None where another one scales."""
        self.look()
        return self.decide()

    def look(self) -> None:
        """Take the readings, unless another one scales; the target itself knows best how many replicas there are."""
        if not (self.lease.held and self.lease.take()):
            with self._deciding:
                if not self._take_over():
                    return
        seen, fleet = self.source.look(), self._fleet()
        before = self._last and self._last.fleet
        fleet = fleet and believed(fleet, seen, before, acts=self.mode == "act")
        with self._lock:
            self._last = Look(self._measured(seen, fleet), fleet, self._steady())
            if self._begins and fleet:  # who was idle and for how long nobody knows: from now on
                self.state = self.state._replace(used=min(fleet.ready, self.settings.most))
                self._begins = False

    def _take_over(self) -> bool:
        """Go on where the one before ended, who may have been this one; say whether it is our turn."""
        if self.lease.held:
            return True  # another thread was faster
        if not self.lease.take():
            _log.info("%s scales this target; waiting", self.lease.holder)
            self._last, self._heard = None, self._steady()
            self.watcher.waits()
            return False
        known = self.recall()
        self.audit.resume()
        self._begins = known.state is None
        with self._lock:
            self.state = adopt(known.state, self.settings) if known.state else self.state
            self.alerts.keep(known.floor, known.until)
        return True

    def decide(self) -> dict[str, Any] | None:
        """Decide on the last readings, write it down and act; return the record, or None where there are none."""
        with self._deciding:
            record = self._decide()
            self._turned = self._steady()
            return record

    def _decide(self) -> dict[str, Any] | None:
        last = self._last
        if last is None or not self.lease.held:
            return None
        with self._lock:
            self._heed_jumps()
            seen = self._now(last)
            decision = decide(self.state, seen, self.clock())
            self.state = decision.after
            self._note(decision)
        record = decision.record(self.target.name, mode=self.mode)
        try:
            self.audit.write(record)
        except AuditError as error:
            _log.error("nothing is scaled: %s", error)
            return None
        record["result"] = self._act(decision)
        self._settle(str(record["result"]))
        self.watcher.decided(record, seen)
        self._heard = self._steady()
        return record

    def _note(self, decision: Decision) -> None:
        """Remember when a first replica was asked for, and what a start takes."""
        self.cold_start = terms.cold_start(decision.before, decision.seen)
        if not decision.to:
            self._risen = None
        elif not decision.current:
            self._risen = self._steady()

    def _settle(self, result: str) -> None:
        try:
            self.audit.settle(result)
        except AuditError as error:
            _log.error("what came of a decision is not written down: %s", error)

    def _act(self, decision: Decision) -> str:
        if decision.action in ("hold", "freeze"):
            return f"nothing to do{self._unseen}"
        if self.mode == "advisory":
            return ADVISORY
        try:
            said = self.target.scale(decision.to)
        except TargetError as error:
            _log.warning("%s", error)
            return f"failed: {error}"
        self._ordered(decision)
        return said

    def _ordered(self, decision: Decision) -> None:
        """Take the fleet for what it will be, until it is looked at again."""
        with self._lock:
            if self.starts:
                self.starts.order(self._steady(), decision.current, decision.to)
            if self._last and self._last.fleet:
                self._last = self._last._replace(fleet=self._last.fleet.ordered(decision.to))

    def _fleet(self) -> Fleet | None:
        self._unseen = ""
        try:
            return self.target.fleet()
        except TargetError as error:
            _log.warning("%s", error)
            self._unseen = f": {error}"
            return None

    def _measured(self, seen: Observations, fleet: Fleet | None) -> Observations:
        """Add how long a start takes, where that was seen."""
        if self.starts is None or fleet is None:
            return seen
        for seconds in self.starts.look(self._steady(), fleet):
            self.started(seconds)
        mean = self.starts.mean
        if mean is None:
            return seen
        return seen._replace(cold_start_seconds=mean, ages={**seen.ages, "cold_start_seconds": 0.0})

    def _now(self, last: Look) -> Observations:
        """Say what is known now: the last readings, as old as they are, the alerts and what was told."""
        now, fleet = self._steady(), last.fleet
        standing = fleet.all if fleet else self.state.target or 0
        seen = self.alerts.seen(last.aged(now), standing, now)
        if fleet is None or self._told is None:
            return seen
        return merged(seen, self._told, now, alone=not fleet.all)

    def _heed_jumps(self) -> None:
        """Move what is remembered with a clock that was set, so that nothing expires by that."""
        by = self._jumps.since()
        self.state = shifted(self.state, by) if by else self.state
