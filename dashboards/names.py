"""Which series there are, and which labels they have: the catalogue as PromQL sees it. Pure."""

from __future__ import annotations

import re

from dashboards.panel import Panel
from dashboards.query import ALERTS, UP
from lightmeter import catalog
from lightmeter.catalog import CATALOG, Kind, Metric


SCRAPED = ("job", "instance")
"""Labels that Prometheus adds to what it scrapes."""
_HISTOGRAM = ("_bucket", "_sum", "_count")
_DCGM = (*catalog.DCGM_LABELS, *catalog.DCGM_MIG_LABELS, "hostname", "namespace", "pod", "container")  # fmt: skip
"""Of any GPU exporter that uses DCGM's names."""
_OWN = {
    UP: frozenset(SCRAPED),
    ALERTS: frozenset((*SCRAPED, "alertname", "alertstate", "severity", "component", catalog.SLO_LABEL, catalog.SCALING_LABEL, "service", "model", "gpu", "UUID")),
}  # fmt: skip
"""Prometheus's own series."""
_WINDOW = "1h"
_WINDOWED = tuple(
    re.escape(name(_WINDOW)).replace(re.escape(_WINDOW), r"\d+[smhdw]")
    for name in (catalog.slo_requests, catalog.slo_errors, catalog.slo_error_ratio, catalog.slo_error_floor)
)  # fmt: skip
_RECORDED = re.compile(
    "|".join((*_WINDOWED, *map(re.escape, (catalog.SLO_OBJECTIVE, catalog.SLO_BUDGET_LEFT, catalog.SLO_BUDGET_ENDS, catalog.COLD_START_MEAN, catalog.ENERGY_PER_WORK_MEAN))))
)  # fmt: skip
_RECORDED_LABELS = frozenset({"service", "model", "cluster", "namespace", catalog.SLO_LABEL})
_WORD = re.compile(r"[a-zA-Z_:][\w:]*")


def _exposed() -> dict[str, frozenset[str]]:
    found = dict(_OWN)
    for metric in CATALOG:
        labels = frozenset((*metric.labels, *SCRAPED))
        found |= {name: more | labels for name, more in _samples(metric).items()}
    dcgm = frozenset((*_DCGM, *SCRAPED))
    others = (*catalog.DCGM_RENAMED, *catalog.DCGM_VIOLATIONS, *(field.value for field in catalog.Dcgm))  # fmt: skip
    return found | dict.fromkeys(others, dcgm)


def _samples(metric: Metric) -> dict[str, frozenset[str]]:
    if metric.kind is not Kind.HISTOGRAM:
        return {metric.name: frozenset()}
    return {
        metric.name + suffix: frozenset({"le"} if suffix == "_bucket" else ())
        for suffix in _HISTOGRAM
    }


LABELS = _exposed()
"""Labels of each scraped series, and of Prometheus's own."""


def labels_of(name: str) -> frozenset[str] | None:
    """Tell the labels that a series can have; None where there is no such series."""
    return _RECORDED_LABELS if _RECORDED.fullmatch(name) else LABELS.get(name)


def is_scraped(name: str) -> bool:
    """Tell whether a series comes from a target, with its job and instance; alerts and records do not."""
    return ":" not in name and name != ALERTS


def mentioned(panel: Panel) -> tuple[str, ...]:
    """List the series that a panel's queries name, in order."""
    words = (word for target in panel.targets for word in _WORD.findall(target.expr))
    return tuple(dict.fromkeys(word for word in words if labels_of(word) is not None))


def described(panel: Panel) -> str:
    """Say what a panel shows, what is normal, what to do, and by which metrics."""
    names = ", ".join(f"`{name}`" for name in mentioned(panel))
    return f"{panel.shows}\n\nNormal: {panel.normal}\n\nIf not: {panel.act}\n\nMetric: {names}"
