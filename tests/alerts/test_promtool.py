"""The committed rules under the real promtool: each alert fires, ends, and stays silent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from alerts.packs import PACKS
from support.promtool import promtool


ROOT = Path(__file__).parents[2]
FOLDERS = {
    "default": (ROOT / "alerts/generated/prometheus", ROOT / "tests/rules/default/tests"),
    "example": (ROOT / "tests/rules/example/prometheus", ROOT / "tests/rules/example/tests"),
}
TESTS = sorted(path for _, tests in FOLDERS.values() for path in tests.iterdir())
ENDLESS = {"LightmeterWatchdog"}
"""Fires always, so it neither ends nor is silent."""


def groups(folder: Path) -> list[dict[str, Any]]:
    return [group for path in sorted(folder.iterdir()) for group in yaml.safe_load(path.read_text())["groups"]]  # fmt: skip


@pytest.mark.parametrize("name", FOLDERS)
def test_valid(name: str) -> None:
    """Prometheus takes every file."""
    files = sorted(FOLDERS[name][0].iterdir())

    assert 0 == promtool("check", "rules", *files)[0]


@pytest.mark.parametrize("path", TESTS, ids=lambda path: f"{path.parts[-3]}-{path.name}")
def test_trials(path: Path) -> None:
    """Each alert fires with its whole text, ends, and is silent just below its threshold."""
    code, printed = promtool("test", "rules", path)

    assert (0, "SUCCESS") == (code, printed.split()[-1]), printed


@pytest.mark.parametrize("name", FOLDERS)
def test_all_tried(name: str, record_property: Any) -> None:
    """No alert is without a test that fires it, one that ends it and one that keeps it silent."""
    rules, tests = FOLDERS[name]
    alerts = {
        rule["alert"] for group in groups(rules) for rule in group["rules"] if "alert" in rule
    }
    fired, ended, silent = set(), set(), set()
    for path in tests.iterdir():
        for test in yaml.safe_load(path.read_text())["tests"]:
            first, *rest = test["alert_rule_test"]
            if first["exp_alerts"]:
                assert {"summary", "action", "runbook_url", "dashboard_url"} == set(
                    first["exp_alerts"][0]["exp_annotations"]
                )
                fired.add(first["alertname"])
                ended |= {one["alertname"] for one in rest if not one["exp_alerts"]}
            else:
                silent.add(first["alertname"])
    share = len(alerts & fired & (ended | ENDLESS) & (silent | ENDLESS)) / len(alerts)
    record_property("alerts tested", f"{share:.0%} of {len(alerts)}")
    print(f"{name}: {share:.0%} of {len(alerts)} alerts are tested")  # noqa: T201  (asked for)

    assert 1.0 == share


def test_unique() -> None:
    """Groups have names of their own, and no two alerts share name and labels."""
    for rules, _ in FOLDERS.values():
        found = groups(rules)
        names = [group["name"] for group in found]
        assert len(names) == len(set(names))
        alerts = [
            (rule["alert"], str(rule["labels"]))
            for group in found
            for rule in group["rules"]
            if "alert" in rule
        ]
        assert len(alerts) == len(set(alerts))


def test_operator() -> None:
    """The operator's object holds the same groups as the files."""
    folder = ROOT / "alerts/generated/prometheusrule"
    resources = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    assert {f"{name}.yaml" for name in PACKS} == set(resources)
    for path in (folder / name for name in resources):
        made = yaml.safe_load(path.read_text())
        files = [one for one in FOLDERS["default"][0].iterdir() if one.name.startswith(path.stem)]
        there = {group["name"]: group for one in files for group in yaml.safe_load(one.read_text())["groups"]}  # fmt: skip

        assert ("monitoring.coreos.com/v1", "PrometheusRule") == (made["apiVersion"], made["kind"])
        assert there == {group["name"]: group for group in made["spec"]["groups"]}
