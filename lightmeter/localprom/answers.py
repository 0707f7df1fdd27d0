"""What the HTTP API of Prometheus says, as JSON: https://prometheus.io/docs/prometheus/latest/querying/api/. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lightmeter.localprom.aggregate import number
from lightmeter.localprom.evaluate import Value
from lightmeter.localprom.exposition import Exemplar
from lightmeter.localprom.frame import Floats, Frame, Ints
from lightmeter.localprom.labels import Labels
from lightmeter.localprom.rules import Alert, Group, Running, stamp
from lightmeter.localprom.scrape import State


def vector(value: Value, at_ms: int) -> dict[str, Any]:
    """Write what an expression is worth at one moment."""
    at = at_ms / 1000
    if isinstance(value, str):
        return {"resultType": "string", "result": [at, value]}
    if isinstance(value, np.ndarray):
        return {"resultType": "scalar", "result": [at, number(float(value[0]))]}
    rows = zip(value.labels, value.values, strict=True)
    result = [{"metric": dict(labels), "value": [at, number(float(row[0]))]} for labels, row in rows]  # fmt: skip
    return {"resultType": "vector", "result": result}


def matrix(series: Sequence[tuple[Labels, Ints, Floats]]) -> dict[str, Any]:
    """Write samples of series; times are Unix milliseconds."""
    result = [
        {"metric": dict(labels), "values": [[at / 1000, number(value)] for at, value in zip(times.tolist(), values.tolist(), strict=True)]}
        for labels, times, values in series
    ]  # fmt: skip
    return {"resultType": "matrix", "result": result}


def frame(found: Frame, steps: Ints) -> dict[str, Any]:
    """Write what an expression is worth at each step, by labels."""
    rows = zip(found.labels, found.values, found.there, strict=True)
    return matrix(sorted(((labels, steps[there], values[there]) for labels, values, there in rows), key=lambda row: row[0]))  # fmt: skip


def exemplars(found: Sequence[tuple[Labels, Exemplar]]) -> list[dict[str, Any]]:
    """Write exemplars by series."""
    series: dict[Labels, list[dict[str, Any]]] = {}
    for labels, each in found:
        said = {"labels": dict(each.labels), "value": number(each.value), "timestamp": each.time_ms / 1000}  # fmt: skip
        series.setdefault(labels, []).append(said)
    return [{"seriesLabels": dict(labels), "exemplars": each} for labels, each in series.items()]


def alert(each: Alert) -> dict[str, Any]:
    """Write one alert."""
    return {
        "labels": dict(each.labels),
        "annotations": each.annotations,
        "state": each.state,
        "activeAt": stamp(each.active_ms),
        "value": f"{each.value:e}",
    }


def _rule(running: Running, evaluated_ms: int | None) -> dict[str, Any]:
    rule = running.rule
    said: dict[str, Any] = {
        "name": rule.name,
        "query": rule.expr,
        "labels": dict(rule.labels),
        "health": "err" if running.error else "unknown" if evaluated_ms is None else "ok",
        "lastError": running.error,
        "type": "alerting" if rule.alerting else "recording",
        "lastEvaluation": stamp(evaluated_ms or 0),
        "evaluationTime": 0,
    }
    if rule.alerting:
        active = [each for each in running.alerts.values() if each.resolved_ms is None]
        states = {each.state for each in active}
        said["state"] = "firing" if "firing" in states else "pending" if states else "inactive"
        said |= {"alerts": [alert(each) for each in active], "annotations": dict(rule.annotations), "duration": rule.for_ms / 1000, "keepFiringFor": rule.keep_ms / 1000}  # fmt: skip
    return said


def group(each: Group) -> dict[str, Any]:
    """Write a group of rules."""
    return {
        "name": each.name,
        "file": each.file,
        "interval": (each.interval_ms or 0) / 1000,
        "lastEvaluation": stamp(each.evaluated_ms or 0),
        "evaluationTime": 0,
        "rules": [_rule(running, each.evaluated_ms) for running in each.rules],
    }


def target(state: State) -> dict[str, Any]:
    """Write how a target is."""
    own = dict(state.target.own_labels)
    return {
        "discoveredLabels": {"__address__": own["instance"], "job": state.target.job},
        "labels": own,
        "scrapePool": state.target.job,
        "scrapeUrl": state.target.url,
        "globalUrl": state.target.url,
        "lastError": state.error,
        "lastScrape": stamp(state.last_ms or 0),
        "lastScrapeDuration": state.took_seconds,
        "health": "unknown" if state.last_ms is None else "up" if state.up else "down",
        "scrapeInterval": f"{state.target.interval_seconds:g}s",
        "scrapeTimeout": f"{state.target.timeout_seconds:g}s",
    }
