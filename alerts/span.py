"""Between which values an expression lies, as far as its metrics' units tell. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from promql_parser import (
    AggregateExpr,
    BinaryExpr,
    Call,
    Expr,
    MatrixSelector,
    NumberLiteral,
    SubqueryExpr,
    UnaryExpr,
    VectorSelector,
)

from alerts.reading import bare, children, compares, is_bool, named, operator, scalar, vector
from alerts.world import World
from lightmeter.catalog import Kind


Span = tuple[float, float]
ANY: Span = (-math.inf, math.inf)
POSITIVE: Span = (0.0, math.inf)
COUNTED: Span = (1.0, math.inf)
"""What counts series has none to say of none."""
_UNITS: dict[str, Span] = {"ratio": (0.0, 1.0), "boolean": (0.0, 1.0), "percent": (0.0, 100.0), "celsius": ANY, "info": ANY}  # fmt: skip
"""What is no negative number is any other."""
_SAME = ("avg_over_time", "min_over_time", "max_over_time", "last_over_time", "first_over_time", "sort", "sort_desc", "label_replace", "label_join", "quantile_over_time")  # fmt: skip
_NOT_NEGATIVE = ("rate", "irate", "increase", "changes", "resets", "abs", "time", "timestamp", "stddev_over_time", "stdvar_over_time")  # fmt: skip
_OF_ONE = ("avg", "min", "max", "topk", "bottomk")


def span(tree: Expr, world: World) -> Span:
    """Give the least and the greatest value; `ANY` where nothing is known."""
    tree = bare(tree)
    ways: dict[type, Callable[[Any, World], Span]] = {
        NumberLiteral: _number,
        UnaryExpr: _negated,
        VectorSelector: _selected,
        MatrixSelector: _inner,
        SubqueryExpr: _inner,
        AggregateExpr: _aggregated,
        BinaryExpr: _joined,
        Call: _called,
    }
    way = ways.get(type(tree))
    return way(tree, world) if way else ANY


def _number(tree: NumberLiteral, _: World) -> Span:
    return (tree.val, tree.val)


def _negated(tree: UnaryExpr, world: World) -> Span:
    low, high = span(tree.expr, world)
    return (-high, -low)


def _inner(tree: Expr, world: World) -> Span:
    return span(children(tree)[0], world)


def _selected(tree: VectorSelector, world: World) -> Span:
    known = [world.known(name) for name in named(tree)]
    spans = [POSITIVE if one.kind is Kind.COUNTER else _UNITS.get(one.unit, POSITIVE) for one in known if one.kind]  # fmt: skip
    return spans[0] if len(spans) == len(known) == 1 else ANY


def _aggregated(tree: AggregateExpr, world: World) -> Span:
    name, inner = operator(tree), span(tree.expr, world)
    if name in _OF_ONE:
        return inner
    if name == "sum" and inner[0] >= 0:
        return (inner[0], math.inf)
    return COUNTED if name == "count" else ANY


def _called(tree: Call, world: World) -> Span:
    name, inner = tree.func.name, vector(tree)
    if name in _NOT_NEGATIVE:
        return POSITIVE
    if name == "count_over_time":
        return COUNTED
    if name == "vector" and tree.args:
        return span(tree.args[0], world)
    return span(inner, world) if name in _SAME and inner is not None else ANY


def _joined(tree: BinaryExpr, world: World) -> Span:
    lhs, rhs, name = span(tree.lhs, world), span(tree.rhs, world), operator(tree)
    if compares(tree):
        return (0.0, 1.0) if is_bool(tree) else rhs if scalar(tree.lhs) else lhs
    if name == "or":
        return (min(lhs[0], rhs[0]), max(lhs[1], rhs[1]))
    if name in ("and", "unless"):
        return lhs
    if name == "+":
        return (lhs[0] + rhs[0], lhs[1] + rhs[1])
    if name == "-":
        return _sorted(lhs[0] - rhs[1], lhs[1] - rhs[0])
    return _scaled(name, lhs, rhs)


def _scaled(name: str, lhs: Span, rhs: Span) -> Span:
    if name == "*" and rhs[0] == rhs[1] and math.isfinite(rhs[0]):
        return _sorted(lhs[0] * rhs[0], lhs[1] * rhs[0])
    if name == "*" and lhs[0] == lhs[1] and math.isfinite(lhs[0]):
        return _sorted(lhs[0] * rhs[0], lhs[0] * rhs[1])
    if name == "/" and rhs[0] == rhs[1] and math.isfinite(rhs[0]) and rhs[0]:
        return _sorted(lhs[0] / rhs[0], lhs[1] / rhs[0])
    return POSITIVE if name in ("*", "/") and lhs[0] >= 0 and rhs[0] >= 0 else ANY


def _sorted(one: float, other: float) -> Span:
    return ANY if math.isnan(one) or math.isnan(other) else (min(one, other), max(one, other))
