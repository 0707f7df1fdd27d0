"""Small words of PromQL, so that a table of conditions reads like one. Pure."""

from __future__ import annotations

from lightmeter.catalog import Metric


def series(metric: Metric | str, suffix: str = "", **labels: str | tuple[str, ...]) -> str:
    """Select a metric's series; a tuple of values means any of them, ``not_x`` none of them."""
    name = metric.name if isinstance(metric, Metric) else str(metric)
    matchers = ",".join(matcher(label, value) for label, value in labels.items())
    return f"{name}{suffix}" + (f"{{{matchers}}}" if matchers else "")


def matcher(label: str, value: str | tuple[str, ...]) -> str:
    """Write one condition on a label, as Prometheus and Alertmanager read it."""
    negative, label = label.startswith("not_"), label.removeprefix("not_")
    if isinstance(value, str):
        return f'{label}{"!=" if negative else "="}"{value}"'
    return f'{label}{"!~" if negative else "=~"}"{"|".join(value)}"'


def grown(by: str, selected: str, window: str) -> str:
    """Sum what counters grew by in a window, extrapolated to its ends as Prometheus does."""
    return f"sum by ({by}) (increase({selected}[{window}]))"


def rate(by: str, selected: str, window: str) -> str:
    """Sum what counters grow by each second."""
    return f"sum by ({by}) (rate({selected}[{window}]))"


def total(by: str, selected: str) -> str:
    """Sum gauges."""
    return f"sum by ({by}) ({selected})"


def share(part: str, whole: str) -> str:
    """Divide, where there is anything to divide by; so no traffic is no value, never NaN."""
    return f"{part}\n/\n({whole} > 0)"
