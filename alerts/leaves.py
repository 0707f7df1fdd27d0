"""Which labels the series have that an expression leaves. Pure.

https://prometheus.io/docs/prometheus/latest/querying/operators/#vector-matching
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from promql_parser import (
    AggModifierType,
    AggregateExpr,
    BinaryExpr,
    BinModifier,
    Call,
    Expr,
    LabelModifierType,
    MatchOp,
    MatrixSelector,
    StringLiteral,
    SubqueryExpr,
    UnaryExpr,
    VectorMatchCardinality,
    VectorSelector,
)

from alerts.reading import bare, children, matchers, named, operator, scalar, vector
from alerts.rulefile import Written
from alerts.world import Known, Options, World, catalogue


Labels = frozenset[str] | None
"""The labels that may be there; None where that cannot be known."""
NONE: frozenset[str] = frozenset()
_CHOOSING = ("topk", "bottomk", "limitk", "limit_ratio")
"""Aggregations that leave series as they are."""
_ABSENT = ("absent", "absent_over_time")


def around(rules: Sequence[Written], options: Options) -> World:
    """Make the world of some rules: the catalogue, and what they record."""
    world = World(catalogue(), options)
    for _ in range(2):  # what a rule records may be needed by one before it
        recorded: dict[str, Labels] = {}
        for rule in rules:
            if not rule.is_alert:
                labels = both(left(rule.tree, world), frozenset(rule.labels))
                recorded[rule.name] = both(labels, recorded.get(rule.name, NONE))
        found = {name: Known(labels=labels) for name, labels in recorded.items()}
        world = World({**catalogue(), **found}, options)
    return world


def both(one: Labels, other: Labels) -> Labels:
    """Unite what two sides may have."""
    return None if one is None or other is None else one | other


def left(tree: Expr, world: World) -> Labels:
    """List the labels that the series of an expression's result may have."""
    tree = bare(tree)
    if scalar(tree):
        return NONE
    ways: dict[type, Callable[[Any, World], Labels]] = {
        VectorSelector: _selected,
        MatrixSelector: _inner,
        SubqueryExpr: _inner,
        UnaryExpr: _inner,
        AggregateExpr: _aggregated,
        BinaryExpr: _joined,
        Call: _called,
    }
    way = ways.get(type(tree))
    return way(tree, world) if way else None


def _inner(tree: Expr, world: World) -> Labels:
    return left(children(tree)[0], world)


def _selected(tree: VectorSelector, world: World) -> Labels:
    found = [world.has(name) for name in named(tree)]
    if not found or tree.matchers.or_matchers:
        return None
    return None if None in found else NONE.union(*(one for one in found if one is not None))


def _aggregated(tree: AggregateExpr, world: World) -> Labels:
    inner = left(tree.expr, world)
    if operator(tree) in _CHOOSING:
        return inner
    made = frozenset({tree.param.val}) if isinstance(tree.param, StringLiteral) else NONE
    if tree.modifier is None:
        return made
    listed = frozenset(tree.modifier.labels)
    if tree.modifier.type == AggModifierType.By:
        return listed | made
    return None if inner is None else (inner - listed) | made


def _joined(tree: BinaryExpr, world: World) -> Labels:
    if scalar(tree.lhs) or scalar(tree.rhs):
        return left(tree.rhs if scalar(tree.lhs) else tree.lhs, world)
    lhs, rhs = left(tree.lhs, world), left(tree.rhs, world)
    if operator(tree) in ("and", "unless"):
        return lhs
    return both(lhs, rhs) if operator(tree) == "or" else _matched(tree.modifier, lhs, rhs)


def _matched(how: BinModifier | None, lhs: Labels, rhs: Labels) -> Labels:
    """Arithmetic and comparisons leave what they match by, or what the side of the many has."""
    if how is not None and how.card == VectorMatchCardinality.ManyToOne:
        return both(lhs, frozenset(how.group_labels or ()))
    if how is not None and how.card == VectorMatchCardinality.OneToMany:
        return both(rhs, frozenset(how.group_labels or ()))
    if how is None or how.matching is None:  # all labels must be the same
        return rhs if lhs is None else lhs if rhs is None else lhs & rhs
    listed = frozenset(how.matching.labels)
    if how.matching.type == LabelModifierType.Include:
        return listed
    return None if lhs is None else lhs - listed


def _called(tree: Call, world: World) -> Labels:
    name, inner = tree.func.name, vector(tree)
    if inner is None or name in ("vector", "info"):
        return None if name == "info" else NONE
    if name in _ABSENT:
        return _absent(bare(inner))
    labels = left(inner, world)
    if name in ("label_replace", "label_join"):
        return both(labels, frozenset({tree.args[1].val}))
    if name == "histogram_quantile" and labels is not None:
        return labels - {"le"}
    return labels


def _absent(tree: Expr) -> Labels:
    """``absent`` makes its labels from the matchers that demand one value."""
    if isinstance(tree, MatrixSelector):
        tree = tree.vector_selector
    if not isinstance(tree, VectorSelector):
        return NONE
    return frozenset(one.name for one in matchers(tree) if one.op == MatchOp.Equal)
