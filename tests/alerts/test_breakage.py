"""Deliberate breakage: what is done to our own rules, the checker or promtool calls out."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from alerts import packs, trials
from alerts.check import check, headings
from alerts.objectives import Slo
from alerts.render import prometheus
from alerts.rule import Alert
from alerts.world import Options
from support.promtool import promtool


ROOT = Path(__file__).parents[2]
SLO = Slo()
OURS = {name: prometheus(packs.make(name, SLO), SLO.links) for name in packs.PACKS}
OPPOSITE = {">": "<", "<": ">", ">=": "<", "<=": ">", "==": "!=", "!=": "=="}


def codes(text: str, folder: Path, runbook: Path | None = None) -> set[str]:
    path = folder / "broken.yml"
    path.write_text(text)
    options = Options(anchors=headings(runbook) if runbook else None)
    return {str(finding.code) for finding in check([path], options).findings}


@pytest.mark.parametrize(
    ("was", "becomes", "code"),
    [
        (r"\blightmeter_queue_depth\b", "lightmeter_queue_length", "metric"),
        (r"\blightmeter_request_duration_seconds_sum\b", "lightmeter_request_seconds_sum", "metric"),
        (r"\bDCGM_FI_DEV_FB_USED\b", "DCGM_FI_DEV_FB_USEDS", "metric"),
        (r"\blightmeter:slo_error_floor:1h(?=[{][^}]*[}] >)", "lightmeter:slo_floor:1h", "metric"),
        (r"\bstage=", "phase=", "label"),
        (r"\bstage=\"queue\"", 'stage="queued"', "label"),
        (r"\bby \(service\)", "by (shop)", "label"),
        (r"\bby \(service, kind\)", "by (service, fault)", "label"),
        (r"\bon \(UUID\)", "on (uuid)", "label"),
        (r"\boutcome=~\"ok\|", 'outcome=~"okay|', "label"),
        (r"\[(5|10|15)m\]", "[30s]", "rate"),
        (r"\bincrease\((lightmeter_\w+)", r"delta(\1", "rate"),
        (r"\bby \(service\)", "by (model)", "template"),
        (r"\$labels\.service \}\}", "$labels.service }", "template"),
        (r"\blightmeter-(fleet|server|latency|overview)\?", r"lightmeter-\1s?", "dashboard"),
        (r"runbook_url: .*", "runbook: gone", "runbook"),
        (r"(?m)^( +)severity: \w+$", r"\1urgency: page", "severity"),
        (r"\bfor: (\d+m)", r"for: \1in", "duration"),
    ],
)  # fmt: skip
def test_broken(was: str, becomes: str, code: str, tmp_path: Path) -> None:
    """A rename, a lost label, a short range, a dead link: each turns the check red."""
    broken = [text for whole in OURS.values() if (text := re.sub(was, becomes, whole)) != whole]

    assert broken
    assert [] == [text for text in broken if code not in codes(text, tmp_path)]


def test_every_metric(tmp_path: Path) -> None:
    """Whichever of our metrics is renamed, each rule that asks for it is found."""
    for text in OURS.values():
        broken = re.sub(
            r"\b(lightmeter_[a-z_]+?)(_bucket|_sum|_count)?(?=[{\[) ])", r"\1_old\2", text
        )
        path = tmp_path / "broken.yml"
        path.write_text(broken)
        found = {finding.message.split()[1] for finding in check([path], Options()).findings if finding.code == "metric"}  # fmt: skip

        assert set(re.findall(r"\blightmeter_[a-z_]+_old\w*", broken)) == found


def test_dead_link(tmp_path: Path) -> None:
    """A heading that is gone from the runbook is missed; with all of them there is nothing to say."""
    whole = ROOT / "alerts/runbook.md"
    part = tmp_path / "runbook.md"
    part.write_text(whole.read_text().replace("LightmeterQueueGrowing\n", "LightmeterQueue\n"))

    assert set() == codes(OURS["recommended"], tmp_path, whole)
    assert {"runbook"} == codes(OURS["recommended"], tmp_path, part)


PARTS = {f"{name}-{part.name}": part for name in packs.PACKS for part in packs.make(name, SLO).files.values() if part.alerts and part.name != "slo"}  # fmt: skip


def swapped(alert: Alert) -> Alert:
    """Turn the first comparison of an alert round."""
    expr, count = re.subn(r"(?s)(.*?) (>=|<=|==|!=|>|<) ", lambda found: f"{found[1]} {OPPOSITE[found[2]]} ", alert.expr, count=1)  # fmt: skip
    return dataclasses.replace(alert, expr=expr) if count else alert


@pytest.mark.parametrize("name", PARTS)
def test_swapped(name: str, tmp_path: Path) -> None:
    """A comparison that is turned round fails the alert's own trials, in every alert that has one."""
    part = PARTS[name]
    turned = {alert.name: swapped(alert) for alert in part.alerts}
    groups = tuple(
        dataclasses.replace(group, rules=tuple(turned.get(rule.name, rule) for rule in group.rules))
        for group in part.groups
    )
    (tmp_path / "rules.yml").write_text(prometheus(dataclasses.replace(part, groups=groups), SLO.links))  # fmt: skip
    printed = ""
    for every, text in trials.promtool(part, SLO.links, "rules.yml").items():
        (tmp_path / f"{every}.yml").write_text(text)
        printed += promtool("test", "rules", tmp_path / f"{every}.yml")[1]
    changed = {alert.name for alert in part.alerts if turned[alert.name] != alert}

    assert changed == set(re.findall(r"alertname: (\w+)", printed))
