"""The packs of rules that there are. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

from alerts import (
    burn,
    causes_cost,
    causes_gpu,
    causes_host,
    causes_quality,
    causes_scaler,
    causes_server,
    classic,
)
from alerts.objectives import Override, Slo
from alerts.promql import series
from alerts.rule import Alert, Group, Pack, Rule, Severity, Trial
from lightmeter import catalog
from lightmeter.errors import RuleError, nearest
from lightmeter.units import parse_duration


def recommended(slo: Slo) -> Pack:
    """Objectives with error budgets, and the causes beside them."""
    records, alerts, left_out = burn.group(slo)
    cost, no_budget = causes_cost.group(slo)
    groups = (
        records,
        alerts,
        causes_server.group(slo),
        causes_quality.group(slo),
        causes_scaler.group(),
        causes_gpu.group(),
        causes_host.group(),
        cost,
        Group("lightmeter-meta", "meta", (_watchdog(),)),
    )
    return Pack("recommended", groups, left_out + no_budget)


PACKS: dict[str, Callable[[Slo], Pack]] = {"recommended": recommended, "classic": classic.pack}


def make(name: str, slo: Slo) -> Pack:
    """Make one pack as ``slo.toml`` wants it.

    Raises:
        RuleError: there is no such pack, or no alert of a name that slo.toml changes.
    """
    if name not in PACKS:
        raise RuleError(f"pack {name!r} does not exist; there are {', '.join(PACKS)}")
    every = {alert.name for one in PACKS.values() for alert in one(slo).alerts}
    for changed in slo.alerts:
        if changed not in every:
            raise RuleError(f"alerts.{changed} in slo.toml: no alert has that name{nearest(changed, every)}")  # fmt: skip
    pack = PACKS[name](slo)
    return dataclasses.replace(
        pack,
        groups=tuple(_changed(group, slo) for group in pack.groups),
        notes=pack.notes + slo.links.notes,
    )


def _changed(group: Group, slo: Slo) -> Group:
    return dataclasses.replace(group, rules=tuple(_override(group.rules, slo)))


def _override(rules: Iterable[Rule], slo: Slo) -> Iterable[Rule]:
    for rule in rules:
        change = slo.alerts.get(rule.name) if isinstance(rule, Alert) else None
        if not isinstance(rule, Alert) or change is None:
            yield rule
        elif change.enabled:
            yield _with(rule, change)


def _with(alert: Alert, change: Override) -> Alert:
    """Change an alert; one that must be true for longer than its trials last has none."""
    hold = alert.hold if change.hold is None else f"{change.hold:.0f}s"
    tried = parse_duration(hold) <= parse_duration(alert.hold)
    return dataclasses.replace(alert, severity=change.severity or alert.severity, hold=hold, trials=alert.trials if tried else ())  # fmt: skip


def _watchdog() -> Alert:
    return Alert(
        name="LightmeterWatchdog",
        severity=Severity.NONE,
        expr="vector(1)",
        summary="Alerting works: this fires always.",
        meaning="The way from Prometheus through Alertmanager to people is whole while this arrives. A dead man's switch outside should page when it stops.",
        first="Nothing, while it fires.",
        panel=catalog.TARGETS,
        labels={"component": "meta"},
        trials=(Trial(bad={series(catalog.IN_FLIGHT): "1x5"}, calm={}, fires="3m", over="", says="Alerting works: this fires always."),),
    )  # fmt: skip
