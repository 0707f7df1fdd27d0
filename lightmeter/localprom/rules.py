"""Recording and alerting rules: evaluated one after the other, as Prometheus does in a group."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from promql_parser import Expr, parse_duration

from lightmeter.errors import QueryError, RuleError, explain
from lightmeter.localprom.evaluate import Options
from lightmeter.localprom.frame import Frame
from lightmeter.localprom.labels import NAME, Labels, changed, nameless
from lightmeter.localprom.query import instant, parse
from lightmeter.localprom.resume import FOR_STATE, Left, since
from lightmeter.localprom.store import STALE, Store
from lightmeter.localprom.templates import Scope, expand


ALERT_NAME = "alertname"
_RESUMED = 2
"""Evaluations after which alerts of a run before go on, as in Prometheus: the first may lack samples."""
_KNOWN = {"record", "alert", "expr", "for", "keep_firing_for", "labels", "annotations"}
Write = Callable[[int, list[tuple[Labels, float]]], object]
"""Keeps the samples of one moment (Unix milliseconds)."""


@dataclass(frozen=True)
class Rule:
    """A rule as written; durations are milliseconds."""

    name: str
    alerting: bool
    expr: str
    tree: Expr
    for_ms: int = 0
    keep_ms: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Alert:
    """One series for which an alerting rule is true, or was; times are Unix milliseconds."""

    labels: Labels
    annotations: dict[str, str]
    value: float
    active_ms: int
    fired_ms: int | None = None
    absent_since_ms: int | None = None
    resolved_ms: int | None = None

    @property
    def state(self) -> str:
        """Prometheus's word: pending, firing or inactive."""
        if self.resolved_ms is not None:
            return "inactive"
        return "pending" if self.fired_ms is None else "firing"


@dataclass
class Running:
    """A rule and what its last evaluation left."""

    rule: Rule
    alerts: dict[Labels, Alert] = field(default_factory=dict)
    series: set[Labels] = field(default_factory=set)
    error: str = ""


@dataclass
class Group:
    """Rules that are evaluated together; ``file`` is where they stand."""

    name: str
    file: str
    interval_ms: int | None
    rules: list[Running]
    evaluated_ms: int | None = None
    rounds: int = 0
    """How often it was evaluated."""


def load(path: Path) -> list[Group]:
    """Read a rule file.

    Raises:
        RuleError: it cannot be read, or holds what is no rule.
    """
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
        groups = found.get("groups") or []
        return [_group(group, path.name) for group in groups]
    except OSError as error:
        raise RuleError(f"rule file {str(path)!r} {explain(error)}") from error
    except (yaml.YAMLError, UnicodeDecodeError, AttributeError, TypeError, KeyError) as error:
        raise RuleError(f"rule file {str(path)!r} is none: {error}") from error


def _group(group: Mapping[str, Any], file: str) -> Group:
    interval = _milliseconds(group["interval"]) if "interval" in group else None
    return Group(str(group["name"]), file, interval, [Running(_rule(rule)) for rule in group["rules"]])  # fmt: skip


def _rule(written: Mapping[str, Any]) -> Rule:
    unknown = set(written) - _KNOWN
    if unknown or ("record" in written) == ("alert" in written):
        raise RuleError(f"rule {dict(written)!r} wants either record or alert, and knows no {', '.join(sorted(unknown)) or 'other'}")  # fmt: skip
    alerting = "alert" in written
    name = str(written["alert" if alerting else "record"])
    try:
        tree = parse(str(written["expr"]))
    except QueryError as error:
        raise RuleError(f"rule {name}: {error}") from error
    texts = [{str(key): str(value) for key, value in (written.get(part) or {}).items()} for part in ("labels", "annotations")]  # fmt: skip
    return Rule(name, alerting, str(written["expr"]), tree, _milliseconds(written.get("for", 0)), _milliseconds(written.get("keep_firing_for", 0)), *texts)  # fmt: skip


def _milliseconds(written: Any) -> int:
    try:
        return round(parse_duration(str(written)).total_seconds() * 1000) if written else 0
    except ValueError as error:
        raise RuleError(f"duration {written!r} cannot be read: {error}; write 5m") from error


class Rules:
    """All groups; evaluate them in turn, at the pace that you choose."""

    def __init__(self, groups: Sequence[Group], store: Store, write: Write, *, options: Options | None = None, before: Mapping[Labels, Left] | None = None) -> None:  # fmt: skip
        """``before`` is what a run before has left of alerts: ``resume.left``."""
        self._before = before or {}
        self.groups = list(groups)
        self._store = store
        self._write = write
        self._options = options

    def evaluate(self, now_ms: int) -> None:
        """Evaluate every rule once; a rule that fails says so in its ``error``, others go on."""
        for group in self.groups:
            if _due(group, now_ms):
                group.evaluated_ms = now_ms
                for running in group.rules:
                    self._one(running, now_ms, resumed=group.rounds >= _RESUMED)
                group.rounds += 1
                if group.rounds == _RESUMED and self._before:
                    self._resume(group, now_ms)

    def _resume(self, group: Group, now_ms: int) -> None:
        """Let alerts that are active go on where a run before has left them, once."""
        for running in group.rules:
            for alert in running.alerts.values():
                active_ms = since(self._before.get(alert.labels), running.rule.for_ms, now_ms)
                if active_ms is not None and alert.fired_ms is None:
                    alert.active_ms = active_ms

    def _one(self, running: Running, now_ms: int, *, resumed: bool) -> None:
        try:
            found = self._found(running.rule, now_ms)
            samples = self._alerts(running, found, now_ms) if running.rule.alerting else _recorded(running.rule, found)  # fmt: skip
            if resumed or not self._before:
                samples |= _for_state(running)
            running.error = ""
        except (QueryError, RuleError) as error:
            samples, running.error = {}, str(error)
        gone = running.series - samples.keys()
        running.series = set(samples)
        self._write(now_ms, [*samples.items(), *((labels, STALE) for labels in gone)])

    def _found(self, rule: Rule, now_ms: int) -> dict[Labels, float]:
        value = instant(self._store, rule.tree, now_ms, self._options)
        if isinstance(value, np.ndarray):
            return {(): float(value[0])}
        if not isinstance(value, Frame):
            raise QueryError(f"rule {rule.name}: a string cannot be recorded")
        return {labels: float(row[0]) for labels, row in zip(value.labels, value.values, strict=True)}  # fmt: skip

    def _alerts(self, running: Running, found: dict[Labels, float], now_ms: int) -> dict[Labels, float]:  # fmt: skip
        rule, seen = running.rule, set()
        for labels, value in found.items():
            fresh = _alert(rule, nameless(labels), value, now_ms)
            if fresh.labels in seen:
                raise RuleError(f"rule {rule.name}: two results have the same labels")
            seen.add(fresh.labels)
            _renew(running.alerts, fresh)
        for alert in running.alerts.values():
            _age(alert, rule, now_ms, there=alert.labels in seen)
        old = [key for key, alert in running.alerts.items() if _over(alert, now_ms)]
        for key in old:
            del running.alerts[key]
        return {changed(alert.labels, {NAME: "ALERTS", "alertstate": alert.state}): 1.0 for alert in running.alerts.values() if alert.resolved_ms is None}  # fmt: skip


def _for_state(running: Running) -> dict[Labels, float]:
    """Tell since when each alert is active, for the run after this one."""
    active = [alert for alert in running.alerts.values() if alert.resolved_ms is None]
    return {changed(alert.labels, {NAME: FOR_STATE}): alert.active_ms / 1000 for alert in active}


def _due(group: Group, now_ms: int) -> bool:
    last, interval = group.evaluated_ms, group.interval_ms
    return last is None or interval is None or now_ms - last >= interval


def _recorded(rule: Rule, found: dict[Labels, float]) -> dict[Labels, float]:
    samples = {changed(labels, {**rule.labels, NAME: rule.name}): value for labels, value in found.items()}  # fmt: skip
    if len(samples) != len(found):
        raise RuleError(f"rule {rule.name}: two results have the same labels")
    return samples


def _alert(rule: Rule, labels: Labels, value: float, now_ms: int) -> Alert:
    scope = Scope(dict(labels), value)
    added = {name: expand(text, scope) for name, text in rule.labels.items()}
    said = {name: expand(text, scope) for name, text in rule.annotations.items()}
    return Alert(changed(labels, {**added, ALERT_NAME: rule.name}), said, value, now_ms)


def _renew(alerts: dict[Labels, Alert], fresh: Alert) -> None:
    known = alerts.get(fresh.labels)
    if known is None or known.resolved_ms is not None:
        alerts[fresh.labels] = fresh
        return
    known.value, known.annotations, known.absent_since_ms = fresh.value, fresh.annotations, None


def _age(alert: Alert, rule: Rule, now_ms: int, *, there: bool) -> None:
    if there:
        if alert.fired_ms is None and now_ms - alert.active_ms >= rule.for_ms:
            alert.fired_ms = now_ms
        return
    if alert.resolved_ms is not None:
        return
    alert.absent_since_ms = now_ms if alert.absent_since_ms is None else alert.absent_since_ms
    kept = rule.keep_ms and now_ms - alert.absent_since_ms < rule.keep_ms
    if alert.fired_ms is None or not kept:
        alert.resolved_ms = now_ms


RESOLVED_MS = 15 * 60_000
"""How long Prometheus goes on telling that an alert is over."""


def _over(alert: Alert, now_ms: int) -> bool:
    if alert.resolved_ms is None:
        return False
    return alert.fired_ms is None or now_ms - alert.resolved_ms > RESOLVED_MS


def posted(rules: Rules, now_ms: int, *, external_url: str = "", interval_ms: int = 60_000) -> list[dict[str, Any]]:  # fmt: skip
    """Write alerts that fire, or have ended lately, as ``POST /api/v2/alerts`` of Alertmanager takes them."""
    every = [alert for group in rules.groups for running in group.rules for alert in running.alerts.values()]  # fmt: skip
    return [
        {
            "labels": dict(alert.labels),
            "annotations": alert.annotations,
            "startsAt": stamp(alert.fired_ms),
            "endsAt": stamp(alert.resolved_ms or now_ms + 4 * interval_ms),
            "generatorURL": external_url,
        }
        for alert in every
        if alert.fired_ms is not None
    ]


def stamp(time_ms: int) -> str:
    """Write Unix milliseconds as RFC 3339."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")  # fmt: skip
