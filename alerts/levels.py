"""What Alertmanager's messages say: which alerts hold now. Pure.

An alert is a level, "this is so, and has been since then", never an event: Alertmanager repeats it,
each of a pair says it for itself, and the last word of one may come after the end that the other
told of. A message is version 4 of
https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from lightmeter.catalog import AlertResult
from lightmeter.errors import WebhookError


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SHOWN = 60
"""Characters of a value in an error."""


class _Alert(BaseModel):
    """What is needed of an alert; the rest is not looked at, since later versions add to it."""

    model_config = ConfigDict(strict=True, frozen=True)

    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    fingerprint: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    starts_at: Annotated[AwareDatetime, Field(alias="startsAt")]
    ends_at: Annotated[AwareDatetime | None, Field(alias="endsAt")] = None

    @property
    def since(self) -> float:
        """When it began, Unix seconds."""
        return _unix(self.starts_at)

    def over(self, now: float) -> float:
        """Say until when it held: the end that is told, if that has come by our clock."""
        return max(self.since, min(now, _unix(self.ends_at or self.starts_at)))

    @property
    def size(self) -> int:
        """Characters of its labels."""
        return sum(len(name) + len(value) for name, value in self.labels.items())


class Message(BaseModel):
    """One message, as far as it is needed. Each alert's own status counts, never the group's."""

    model_config = ConfigDict(strict=True, frozen=True)

    version: Literal["4"] = "4"
    alerts: tuple[_Alert, ...]
    truncated: Annotated[int, Field(ge=0, lt=2**64, alias="truncatedAlerts")] = 0
    """Go's uint64."""


def parse(body: bytes) -> Message:
    """Read a message.

    Raises:
        WebhookError: naming the place, the value and what is wanted there.
    """
    try:
        return Message.model_validate_json(body)
    except ValidationError as error:
        raise WebhookError(f"the body is no message of Alertmanager: {_first(error.errors()[0])}") from error  # fmt: skip


def _first(error: Any) -> str:
    where, reason = ".".join(str(part) for part in error["loc"]), str(error["msg"])
    given = error["input"]
    shown = f" is {str(given)[:_SHOWN]!r}" if where and not isinstance(given, dict | list) else ""
    return f"{where}{shown}: {reason[0].lower()}{reason[1:]}".removeprefix(": ")


@dataclass(frozen=True)
class Level:
    """An alert that holds. Times are Unix seconds."""

    fingerprint: str
    """Alertmanager's hash of the labels."""
    labels: Mapping[str, str]
    since: float
    seen: float
    """When it was last told of."""
    until: float
    """From then on it no longer counts, unless it is told of again."""


@dataclass(frozen=True)
class Bounds:
    """How long a level holds that is told of no more, and how many are known at most."""

    age_seconds: float
    """A bit more than Alertmanager's ``repeat_interval``."""
    levels: int = 1000
    label_characters: int = 8192
    """Of one alert."""


@dataclass(frozen=True)
class Known:
    """What was told so far. An end is kept as long as a level that is told of no more."""

    levels: Mapping[str, Level] = field(default_factory=dict)
    """By fingerprint."""
    ends: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """By fingerprint: until when it held, and when that was told; Unix seconds."""

    def at(self, now: float) -> tuple[Level, ...]:
        """List the levels that hold at a moment, the oldest first."""
        holding = (level for level in self.levels.values() if now < level.until)
        return tuple(sorted(holding, key=lambda level: (level.since, level.fingerprint)))


@dataclass(frozen=True)
class Taken:
    """What a message changed."""

    known: Known
    began: tuple[Level, ...]
    ended: tuple[Level, ...]
    lapsed: tuple[Level, ...]
    """Those that were told of no more, and whose end was not told."""
    results: Mapping[AlertResult, int]


def take(known: Known, message: Message, *, now: float, bounds: Bounds) -> Taken:
    """Enter a message that came at ``now``, Unix seconds."""
    book = _Book(known, now, bounds)
    results = Counter({AlertResult.TRUNCATED: message.truncated})
    results.update(book.enter(alert) for alert in message.alerts)
    return Taken(book.known(), tuple(book.began), tuple(book.ended), tuple(book.lapsed), results)


class _Book:
    """What is known while a message is entered."""

    def __init__(self, known: Known, now: float, bounds: Bounds) -> None:
        self._now, self._bounds = now, bounds
        self._levels = {key: level for key, level in known.levels.items() if now < level.until}
        self.lapsed = [level for level in known.levels.values() if now >= level.until]
        self._ends = {key: end for key, end in known.ends.items() if now < end[1] + bounds.age_seconds}  # fmt: skip
        self.began: list[Level] = []
        self.ended: list[Level] = []

    def known(self) -> Known:
        """Say what is known now; of too many ends the oldest are forgotten."""
        newest = sorted(self._ends.items(), key=lambda item: item[1][1])[-self._bounds.levels :]
        return Known(self._levels, dict(newest))

    def enter(self, alert: _Alert) -> AlertResult:
        """Enter one alert."""
        return self._end(alert) if alert.status == "resolved" else self._hold(alert)

    def _hold(self, alert: _Alert) -> AlertResult:
        there = self._levels.get(alert.fingerprint)
        if alert.fingerprint in self._ends and alert.since <= self._ends[alert.fingerprint][0]:
            return AlertResult.OVER
        until = self._now + self._bounds.age_seconds
        if there and alert.since <= there.since:
            # two Prometheuses begin at different moments, and the earlier may come later
            self._levels[alert.fingerprint] = replace(there, seen=self._now, until=until)
            return AlertResult.REPEATED
        if not there and not self._room(alert):
            return AlertResult.DROPPED
        level = Level(alert.fingerprint, alert.labels, alert.since, self._now, until)
        self._levels[alert.fingerprint] = level
        self.began.append(level)
        if there:
            self.ended.append(there)
        return AlertResult.BEGAN

    def _end(self, alert: _Alert) -> AlertResult:
        key, over = alert.fingerprint, alert.over(self._now)
        last, _ = self._ends.get(key, (over, 0.0))
        self._ends[key] = (max(over, last), self._now)
        if key in self._levels and self._levels[key].since <= over:
            self.ended.append(self._levels.pop(key))
            return AlertResult.ENDED
        return AlertResult.OVER

    def _room(self, alert: _Alert) -> bool:
        return len(self._levels) < self._bounds.levels and alert.size <= self._bounds.label_characters  # fmt: skip


def _unix(at: datetime) -> float:
    return (at - _EPOCH).total_seconds()
