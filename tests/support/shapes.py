"""Expressions of every kind that localprom knows, written by rule rather than by hand."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from lightmeter.localprom.aggregate import SIMPLE
from lightmeter.localprom.binary import ARITHMETIC, COMPARISONS
from lightmeter.localprom.functions import ELEMENTWISE
from lightmeter.localprom.moments import FUNCTIONS as MOMENTS
from lightmeter.localprom.windows import FUNCTIONS as WINDOWS


_GIVEN = {"quantile_over_time": "0.7, {}", "predict_linear": "{}, 600"}
_RANGES = ("made_total[1m]", "made_level[97s]", "made_odd[4m] offset 1m", "made_level[10m:45s]")
_VECTORS = ("made_level", 'made_odd{job="a"}')
_GROUPINGS = ("", " by (job)", " without (instance, zone)", " by (zone, nothing)")
_SIDES = ("made_level {} 7", "7 {} made_level", "made_level {} on (instance) made_total", "made_level {} ignoring (zone) group_left sum without (zone) (made_level)")  # fmt: skip


def every() -> list[str]:
    """Return several hundred, each once."""
    return list(dict.fromkeys([*_over_ranges(), *_elements(), *_aggregations(), *_operators(), *_nested()]))  # fmt: skip


def _over_ranges() -> Iterator[str]:
    for name, window in product(WINDOWS, _RANGES):
        yield f"{name}({_GIVEN.get(name, '{}').format(window)})"
    yield from (f"absent_over_time({window})" for window in _RANGES)


def _elements() -> Iterator[str]:
    for name, vector in product(ELEMENTWISE, _VECTORS):
        yield f"{name}({vector})"
    for name, vector in product(
        MOMENTS, ("made_level", "made_level * 1e8")
    ):  # the date of NaN depends on Prometheus's processor
        yield f"{name}({vector})"


def _aggregations() -> Iterator[str]:
    for name, grouping in product(SIMPLE, _GROUPINGS):
        yield f"{name}{grouping} (rate(made_total[2m]))"
    for parameter, grouping in product(("quantile", "topk", "bottomk"), _GROUPINGS):
        yield f"{parameter}{grouping} ({0.3 if parameter == 'quantile' else 2}, made_level)"


def _operators() -> Iterator[str]:
    for operator, sides in product(ARITHMETIC, _SIDES):
        yield f"sum without (none) ({sides.format(operator)})"  # 2.42 keeps the name after atan2, 3 does not
    for operator, modifier, sides in product(COMPARISONS, ("", " bool"), _SIDES):
        yield sides.format(operator + modifier)
    for operator, matching in product(("and", "or", "unless"), ("", "on (zone)", "ignoring (instance)")):  # fmt: skip
        yield f"(made_level > 8) {operator} {matching} (made_total > 100)"


def _nested() -> Iterator[str]:
    for name in ("max_over_time", "avg_over_time", "quantile_over_time", "changes", "deriv"):
        inner = "sum by (job) (rate(made_total[1m]))[8m:30s]"
        yield f"{name}({_GIVEN.get(name, '{}').format(inner)})"
    for share in (0.01, 0.25, 0.5, 0.75, 0.9, 0.99):
        yield f"histogram_quantile({share}, sum by (le, zone) (rate(made_seconds_bucket[3m])))"
