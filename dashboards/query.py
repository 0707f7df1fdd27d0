"""Small words of PromQL, so that a table of panels reads like one. Pure.

Every selector of a scraped series carries the board's variables. What is recorded has been summed
over jobs and instances, so it is chosen by service alone.
"""

from __future__ import annotations

from lightmeter.catalog import Kind, Metric


Value = str | tuple[str, ...]


RATE = "$__rate_interval"
"""The range of every rate: Grafana makes it span at least four scrapes."""
_SCRAPED: dict[str, Value] = {"job": ("$job",), "instance": ("$instance",)}
_SERVED: dict[str, Value] = {"service": ("$service",), "model": ("$model",)}
_RECORDED: dict[str, Value] = {"service": ("$service",)}
UP = "up"
"""Prometheus's own series: 1 where the last scrape of a target worked."""
ALERTS = "ALERTS"
"""Prometheus's own series: 1 for each alert that is pending or fires."""


def pick(metric: Metric | str, suffix: str = "", **labels: Value) -> str:
    """Select a metric's series by the board's variables; a tuple means any of its values."""
    chosen: dict[str, Value] = {**labels, **_variables(metric)}
    name = metric.name if isinstance(metric, Metric) else str(metric)
    return f"{name}{suffix}{{{', '.join(_matcher(*each) for each in chosen.items())}}}"


def _variables(metric: Metric | str) -> dict[str, Value]:
    if isinstance(metric, Metric):
        return (_SERVED if metric.room == "server" else {}) | _SCRAPED
    return _RECORDED if ":" in metric else _SCRAPED


def _matcher(label: str, value: Value) -> str:
    if isinstance(value, str):
        return f'{label}="{value}"'
    return f'{label}=~"{"|".join(value)}"'


def rate(by: str, selected: str) -> str:
    """Sum what counters grow by each second."""
    return f"sum by ({by}) (rate({selected}[{RATE}]))"


def total(by: str, selected: str) -> str:
    """Sum gauges."""
    return f"sum by ({by}) ({selected})"


def share(part: str, whole: str, how: str = "") -> str:
    """Divide, where there is anything to divide by; so no traffic is no value, never NaN."""
    return f"{part} /{how and f' {how}'} ({whole} > 0)"


def mean(by: str, metric: Metric, **labels: Value) -> str:
    """Take the mean of what a histogram saw."""
    return share(
        rate(by, pick(metric, "_sum", **labels)), rate(by, pick(metric, "_count", **labels))
    )


def quantile(level: float, by: str, metric: Metric, **labels: Value) -> str:
    """Estimate a quantile of a histogram, where it saw anything."""
    if metric.kind is not Kind.HISTOGRAM:
        raise ValueError(f"{metric.name} has no buckets")
    buckets = rate(f"le, {by}" if by else "le", pick(metric, "_bucket", **labels))
    return f"histogram_quantile({level:g}, {buckets}) >= 0"


def buckets(metric: Metric, **labels: Value) -> str:
    """Count what fell into each bucket, for a heat-map."""
    return f"sum by (le) (increase({pick(metric, '_bucket', **labels)}[{RATE}]))"
