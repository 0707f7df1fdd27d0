"""promtool's unit tests of rules, from the trials in their table. Pure.

https://prometheus.io/docs/prometheus/latest/configuration/unit_testing_rules/
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from alerts.objectives import Links
from alerts.render import HEADER, document, labels, said
from alerts.rule import Alert, Pack, Trial


def promtool(pack: Pack, links: Links, rule_file: str) -> dict[str, str]:
    """Write a file of tests for each pace of evaluation, by that pace.

    Each alert fires with its whole text, ends, and is silent just below its threshold.
    """
    trials = [(alert, trial) for alert in pack.alerts for trial in alert.trials]
    return {
        every: HEADER + document({
            "rule_files": [rule_file],
            "evaluation_interval": every,
            "tests": [test for alert, trial in trials if trial.every == every for test in _tests(alert, trial, links)],
        })
        for every in dict.fromkeys(trial.every for _, trial in trials)
    }  # fmt: skip


def _tests(alert: Alert, trial: Trial, links: Links) -> Iterator[dict[str, Any]]:
    says = said(alert, links) | {"summary": trial.says}
    fires = {"exp_labels": {**trial.labels, **labels(alert)}, "exp_annotations": says}
    ends = [_at(alert, trial.over, [])] if trial.over else []
    yield _test(f"{alert.name} fires, and ends", trial, trial.bad, [_at(alert, trial.fires, [fires]), *ends])  # fmt: skip
    if trial.calm:
        silent = [_at(alert, trial.fires, [])]
        yield _test(f"{alert.name} is silent just below", trial, trial.calm, silent)


def _test(name: str, trial: Trial, readings: Any, checks: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": name,
        "interval": trial.step,
        "input_series": [{"series": one, "values": values} for one, values in readings.items()],
        "alert_rule_test": checks,
    }


def _at(alert: Alert, time: str, expected: list[dict[str, Any]]) -> dict[str, Any]:
    return {"eval_time": time, "alertname": alert.name, "exp_alerts": expected}
