"""The loop: look, decide, write down, act. One step is a function of what is seen and remembered."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from alerts.levels import Level
from alerts.scale.audit import Audit
from alerts.scale.fleet import Target
from alerts.scale.lease import Lease
from alerts.scale.observe import Source
from lightmeter import catalog
from lightmeter.catalog import Scaling
from lightmeter.errors import AuditError, TargetError
from lightmeter.scaling.decide import decide
from lightmeter.scaling.decision import Decision
from lightmeter.scaling.signals import Observations
from lightmeter.scaling.state import Settings, State, fresh


_log = logging.getLogger(__name__)
Mode = Literal["advisory", "act"]
ADVISORY = "advisory: nothing was done"
LEAST_SECONDS = 0.5
"""Between two looks, however much is told."""


class Watcher(Protocol):
    """Whoever counts decisions."""

    def decided(self, record: dict[str, Any], seen: Observations) -> None:
        """Take note of one."""
        ...


@dataclass
class Scaler:
    """Scales one target. `step` is called by the loop, `hold` and `freeze` by requests."""

    target: Target
    source: Source
    audit: Audit
    lease: Lease
    settings: Settings
    mode: Mode
    watcher: Watcher
    clock: Callable[[], float]
    """Unix seconds."""
    _levels: tuple[Level, ...] = ()
    _floors: dict[str, int] = field(default_factory=dict)
    """By fingerprint of an alert that raises: the replicas that it asks for."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.state: State = fresh(self.settings)
        self._wake = threading.Event()
        self.failures = 0
        """Looks that failed in a way that nobody thought of."""

    def hold(self, levels: tuple[Level, ...]) -> None:
        """Take over the alerts that hold now; where they are others than before, look at once."""
        with self._lock:
            before, self._levels = {level.fingerprint for level in self._levels}, levels
        if before != {level.fingerprint for level in levels}:
            self._wake.set()

    def freeze(self, until: float | None) -> None:
        """Leave everything as it is until a moment, Unix seconds; None ends that."""
        with self._lock:
            self.state = self.state._replace(frozen_until=until)
        self._wake.set()

    def run(self, interval: float, stop: threading.Event) -> None:
        """Step every so many seconds, and soon after somebody told something, until ``stop``."""
        while not stop.is_set():
            try:
                self.step()
            except Exception:  # noqa: BLE001  (the edge of a thread: one look is lost, the next is taken)
                self.failures += 1
                _log.exception("a look failed; nothing is scaled by it")
            stop.wait(LEAST_SECONDS)
            self._wake.wait(max(0.0, interval - LEAST_SECONDS))
            self._wake.clear()

    def end(self) -> None:
        """Wake the loop up for its end."""
        self._wake.set()

    def step(self) -> dict[str, Any] | None:
        """Look, decide, write down and act; return the record, or None where another one scales."""
        if not self.lease.take():
            _log.info("process %s scales this target; waiting", self.lease.holder)
            return None
        seen = self._look()
        with self._lock:
            decision = decide(self.state, seen, self.clock())
            self.state = decision.after
        record = decision.record(self.target.name, mode=self.mode)
        try:
            self.audit.write(record)
        except AuditError as error:
            _log.error("nothing is scaled: %s", error)
            return None
        record["result"] = self._act(decision)
        self._settle(str(record["result"]))
        self.watcher.decided(record, seen)
        return record

    def _settle(self, result: str) -> None:
        try:
            self.audit.settle(result)
        except AuditError as error:
            _log.error("what came of a decision is not written down: %s", error)

    def _act(self, decision: Decision) -> str:
        if decision.action in ("hold", "freeze"):
            return "nothing to do"
        if self.mode == "advisory":
            return ADVISORY
        try:
            return self.target.scale(decision.to)
        except TargetError as error:
            _log.warning("%s", error)
            return f"failed: {error}"

    def _look(self) -> Observations:
        """Take the readings; the target itself knows best how many replicas there are."""
        seen = self.source.look()
        try:
            fleet = self.target.fleet()
        except TargetError as error:
            _log.warning("%s", error)
            ages = {**seen.ages, "ready": math.inf, "starting": math.inf}
            return seen._replace(ready=None, starting=None, ages=ages)
        ages = {**seen.ages, "ready": 0.0, "starting": 0.0}
        seen = seen._replace(ready=float(fleet.ready), starting=float(fleet.starting), ages=ages)
        if fleet.in_flight is not None and seen.in_flight is not None:
            seen = seen._replace(in_flight=max(seen.in_flight, float(fleet.in_flight)))
        return self._with_alerts(seen, fleet.all)

    def _with_alerts(self, seen: Observations, standing: int) -> Observations:
        """Let alerts speak: some raise a floor by one, others say that what is seen is not all."""
        now = self.clock()
        with self._lock:
            holding = [level for level in self._levels if now < level.until]
        raising = {level.fingerprint for level in holding if level.labels.get(catalog.SCALING_LABEL) == Scaling.RAISE}  # fmt: skip
        self._floors = {key: self._floors.get(key, standing + 1) for key in raising}
        if self._floors:
            seen = seen._replace(burn_floor=float(max(self._floors.values())))
        if any(level.labels.get(catalog.SCALING_LABEL) == Scaling.FREEZE for level in holding):
            ages = {**seen.ages, **dict.fromkeys(("in_flight", "queued", "rate_short", "rate_long"), math.inf)}  # fmt: skip
            seen = seen._replace(ages=ages)
        return seen
