"""What a rule is: data, from which files, tests and pages are made. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from lightmeter.catalog import Panel


class Severity(StrEnum):
    """What an alert does to people: wake one, wait for office hours, or nothing."""

    PAGE = "page"
    TICKET = "ticket"
    NONE = "none"


@dataclass(frozen=True)
class Record:
    """A recorded series."""

    name: str
    expr: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Trial:
    """How an alert proves itself: readings under which it fires, ends, and stays silent.

    Readings are promtool's: a series and its values, one for each ``step``, like ``0+10x60 600x30``.
    https://prometheus.io/docs/prometheus/latest/configuration/unit_testing_rules/
    """

    bad: Mapping[str, str]
    calm: Mapping[str, str]
    """Just below the threshold: silent at ``fires`` as well. Nothing for what fires always."""
    fires: str
    """When it fires on ``bad``, like 20m."""
    over: str
    """When that is over; empty for what never is."""
    says: str
    """Its whole summary then."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Its labels beside those that the rule adds."""
    step: str = "1m"
    """Between two readings."""
    every: str = "1m"
    """Between two evaluations; long trials take their time in larger steps."""


@dataclass(frozen=True)
class Alert:
    """An alerting rule, with all that the person who gets it needs."""

    name: str
    severity: Severity
    expr: str
    summary: str
    """One sentence with the object and the value, as a Prometheus template."""
    meaning: str
    """What it means for users, for the runbook."""
    first: str
    """The first thing to do."""
    panel: Panel
    trials: tuple[Trial, ...]
    hold: str = "0m"
    """How long it must be true."""
    keep: str = "0m"
    """How long it goes on when that is over, so that it does not flap."""
    then: tuple[str, ...] = ()
    """What to do next, for the runbook."""
    labels: Mapping[str, str] = field(default_factory=dict)


Rule = Record | Alert


@dataclass(frozen=True)
class Group:
    """Rules that are evaluated together, in order."""

    name: str
    file: str
    """The file that it is in, without an ending."""
    rules: tuple[Rule, ...]


@dataclass(frozen=True)
class Pack:
    """Rules that belong together."""

    name: str
    groups: tuple[Group, ...]
    notes: tuple[str, ...] = ()
    """What was left out, and why."""

    @property
    def files(self) -> dict[str, Pack]:
        """The pack in parts, one for each file."""
        names = dict.fromkeys(group.file for group in self.groups if group.rules)
        return {name: Pack(name, tuple(g for g in self.groups if g.file == name)) for name in names}

    @property
    def alerts(self) -> tuple[Alert, ...]:
        """All alerting rules."""
        return tuple(rule for group in self.groups for rule in group.rules if isinstance(rule, Alert))  # fmt: skip

    @property
    def records(self) -> tuple[Record, ...]:
        """All recording rules."""
        return tuple(rule for group in self.groups for rule in group.rules if isinstance(rule, Record))  # fmt: skip
