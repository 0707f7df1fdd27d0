"""A scaler put together from real parts, with what it sees written down in advance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from alerts.scale.audit import Audit
from alerts.scale.fleet import Fleet, Target
from alerts.scale.lease import Lease
from alerts.scale.scaler import Mode, Scaler
from alerts.scale.targets import Remembered
from lightmeter.errors import TargetError
from lightmeter.scaling.signals import Observations
from lightmeter.scaling.state import Settings
from support.clock import Clock


CALM = Observations(ready=None, starting=None, in_flight=0.0, queued=0.0, rate_short=0.0, rate_long=0.0, active_users=0.0, service_seconds=10.0, cold_start_seconds=60.0)  # fmt: skip
BUSY = CALM._replace(in_flight=6.0, queued=4.0, rate_short=0.5, rate_long=0.4)


class Script:
    """Sees one thing after the other, the last one for ever."""

    def __init__(self, seen: Iterable[Observations]) -> None:
        self._seen: Iterator[Observations] = iter(seen)
        self._last = CALM

    def look(self) -> Observations:
        """See the next thing."""
        self._last = next(self._seen, self._last)
        return self._last


class Refusing:
    """A target that cannot be asked."""

    name = "gone"

    def fleet(self) -> Fleet:
        """Refuse."""
        raise TargetError("server gone cannot be reached")

    def scale(self, to: int) -> str:
        """Refuse."""
        raise TargetError(f"cannot scale to {to}")


class Notes:
    """Keeps what was decided."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    def decided(self, record: dict[str, Any], seen: Observations) -> None:
        """Keep it."""
        del seen
        self.records.append(record)

    def waits(self) -> None:
        """Keep what there is."""


def scaler(
    folder: Path,
    seen: Iterable[Observations],
    *,
    mode: Mode = "act",
    target: Target | None = None,
    clock: Clock | None = None,
    **settings: Any,
) -> Scaler:
    """Put one together; its clock stands still unless it is given."""
    return Scaler(
        target=target or Remembered("null"),
        source=Script(seen),
        audit=Audit(folder),
        lease=Lease(folder),
        settings=Settings(**settings),
        mode=mode,
        watcher=Notes(),
        clock=clock or Clock(1_700_000_000.0),
    )
