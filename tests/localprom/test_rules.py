"""Rules of localprom: when an alert waits, fires and ends, and what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from lightmeter.errors import RuleError
from lightmeter.localprom.labels import Labels, pack
from lightmeter.localprom.rules import Rules, load, posted
from lightmeter.localprom.store import Store
from lightmeter.localprom.templates import Scope, expand


GENERATED = Path(__file__).parents[2] / "alerts" / "generated" / "prometheus"
RULES = """
groups:
- name: g
  rules:
  - record: level:double
    expr: level * 2
    labels: {made: "yes"}
  - alert: High
    expr: level:double > 10
    for: 1m
    keep_firing_for: 1m
    labels: {severity: page}
    annotations: {summary: "{{ $labels.job }} is at {{ $value }}"}
"""


class World:
    """A store whose rules are evaluated by hand; times are seconds."""

    def __init__(self, folder: Path, text: str = RULES) -> None:
        (folder / "rules.yaml").write_text(text)
        self.store = Store()
        self.rules = Rules(load(folder / "rules.yaml"), self.store, self.write)

    def write(self, time_ms: int, samples: list[tuple[Labels, float]]) -> None:
        """Keep samples."""
        for labels, value in samples:
            self.store.append(labels, time_ms, value)

    def at(self, seconds: int, level: float) -> list[str]:
        """Set the level, evaluate, and name the states of all alerts."""
        self.write(seconds * 1000, [(pack({"__name__": "level", "job": "a"}), level)])
        self.rules.evaluate(seconds * 1000)
        return [alert.state for running in self.rules.groups[0].rules for alert in running.alerts.values()]  # fmt: skip


def test_alert_waits_fires_stays_and_ends(tmp_path: Path) -> None:
    """An alert fires after its time, stays as long as it should, then is told to be over."""
    world = World(tmp_path)

    assert [] == world.at(0, 5)
    assert ["pending"] == world.at(30, 6)
    assert ["pending"] == world.at(60, 7)
    assert ["firing"] == world.at(90, 8)
    (said,) = posted(world.rules, 90_000)
    assert {"alertname": "High", "job": "a", "made": "yes", "severity": "page"} == said["labels"]
    assert "a is at 16" == said["annotations"]["summary"]
    assert ["firing"] == world.at(120, 1)
    assert ["firing"] == world.at(150, 1)
    assert ["inactive"] == world.at(180, 1)
    assert "1970-01-01T00:03:00.000Z" == posted(world.rules, 180_000)[0]["endsAt"]
    assert [] == world.at(180 + 16 * 60, 1)
    assert [] == posted(world.rules, 2_000_000)


def test_short_peak_is_silent(tmp_path: Path) -> None:
    """A peak shorter than the rule's time tells nobody."""
    world = World(tmp_path)

    world.at(0, 9)
    world.at(30, 9)

    assert [] == world.at(45, 1)
    assert [] == world.at(100, 1)
    assert [] == posted(world.rules, 100_000)


def test_alerts_are_series(tmp_path: Path) -> None:
    """A dashboard sees alerts as series, and each state ends when the next begins."""
    world = World(tmp_path)
    for at in (0, 30, 60):
        world.at(at, 9)

    found = {dict(series.labels).get("alertstate"): series.read()[1].tolist() for series in world.store.select([])}  # fmt: skip

    assert [1.0] == found["firing"]
    assert [1.0, 1.0] == found["pending"][:2]
    assert 3 == len(found["pending"])


def test_a_rule_that_fails_stops_no_other(tmp_path: Path) -> None:
    """One rule that cannot be evaluated says why; the next goes on."""
    world = World(tmp_path, RULES.replace("level * 2", "mad_over_time(level[5m])") + "  - record: after\n    expr: level\n")  # fmt: skip

    world.at(0, 9)

    first, _, last = world.rules.groups[0].rules
    assert "mad_over_time" in first.error
    assert "" == last.error
    assert ["after", "level"] == world.store.metrics()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("groups: [{name: g, rules: [{record: a, alert: b, expr: c}]}]", "either"),
        ("groups: [{name: g, rules: [{record: a, expr: 'sum('}]}]", "rule a"),
        ("groups: [{name: g, rules: [{alert: a, expr: b, for: soon}]}]", "soon"),
        ("groups: [{name: g, rules: [{alert: a, expr: b, fro: 5m}]}]", "fro"),
        ("groups: {", "rules.yaml"),
        ("- a", "rules.yaml"),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, text: str, named: str) -> None:
    """A rule file that cannot be used is refused in one line that says where."""
    with pytest.raises(RuleError, match=named):
        World(tmp_path, text)


def test_our_rules_can_be_evaluated() -> None:
    """Every rule that lightmeter makes is evaluated without an error, and stays silent on nothing."""
    store = Store()
    groups = [group for path in sorted(GENERATED.glob("*.yaml")) for group in load(path)]

    def write(time_ms: int, samples: list[tuple[Labels, float]]) -> None:
        for labels, value in samples:
            store.append(labels, time_ms, value)

    rules = Rules(groups, store, write)

    rules.evaluate(1_790_000_000_000)

    every = [running for group in groups for running in group.rules]
    assert len(every) > 100
    assert [] == [(running.rule.name, running.error) for running in every if running.error]


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ $value }}", "1234.5"),
        ("{{ $value | humanize }}", "1.234k"),
        ("{{ 1048576 | humanize1024 }}", "1Mi"),
        ("{{ 0.1234 | humanizePercentage }}", "12.34%"),
        ("{{ 3725 | humanizeDuration }}", "1h 2m 5s"),
        ("{{ 0.0123 | humanizeDuration }}", "12.3ms"),
        ("{{ 12.3456 | humanizeDuration }}", "12.35s"),
        ("{{ 0 | humanizeTimestamp }}", "1970-01-01 00:00:00 +0000 UTC"),
        ('{{ $value | printf "%.1f" }}', "1234.5"),
        ('{{ printf "%s-%d%%" $labels.a 3 }}', "b-3%"),
        ("{{ with $labels.a }}on {{ . }}{{ else }}nowhere{{ end }}", "on b"),
        ("{{ with $labels.c }}on {{ . }}{{ else }}nowhere{{ end }}", "nowhere"),
        ("{{ if $labels.c }}{{ with $labels.a }}x{{ end }}{{ else }}y{{ end }}", "y"),
        ("a {{- $labels.a -}} c", "abc"),
    ],
)
def test_templates(template: str, text: str) -> None:
    """What an annotation says is what Prometheus would have made of it."""
    assert text == expand(template, Scope({"a": "b"}, 1234.5))


@pytest.mark.parametrize("template", ["{{ query }}", "{{ $value | nothing }}", "{{ if $value }}", "x {{ end }}", "{{ }}", '{{ "a" | humanize }}'])  # fmt: skip
def test_unknown_templates_are_refused(template: str) -> None:
    """A template that cannot be filled in is refused, never shown half done."""
    with pytest.raises(RuleError, match="template"):
        expand(template, Scope({}, 1))
