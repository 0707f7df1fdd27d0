"""PromQL as a tree, and what is asked of it often. Pure.

The parser is https://github.com/messense/py-promql-parser.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import promql_parser
from promql_parser import (
    AggregateExpr,
    BinaryExpr,
    Call,
    Expr,
    Function,
    Matcher,
    MatchOp,
    MatrixSelector,
    NumberLiteral,
    ParenExpr,
    StringLiteral,
    SubqueryExpr,
    UnaryExpr,
    ValueType,
    VectorSelector,
)


COMPARISONS = ("==", "!=", ">", "<", ">=", "<=")
SETS = ("and", "or", "unless")
MOST_SIGNS = 1000
"""Brackets and signs of an expression; at some thousands, one in another, the parser runs out of stack."""
DEEPEST = 200
"""Parts of an expression in one another; Python's own stack bears some more."""
_ALTERNATIVES = re.compile(r"\(?([\w:]+(?:\|[\w:]+)*)\)?")
_RENAMED = Function("holt_winters", [ValueType.Matrix, ValueType.Scalar, ValueType.Scalar], ValueType.Vector)  # fmt: skip
"""Prometheus 2's name for ``double_exponential_smoothing``."""
with contextlib.suppress(ValueError):  # known already where this module is loaded a second time
    promql_parser.register_extra_functions([_RENAMED])


def children(tree: Expr) -> list[Expr]:
    """List the parts that an expression is directly made of."""
    if isinstance(tree, BinaryExpr):
        return [tree.lhs, tree.rhs]
    if isinstance(tree, Call):
        return tree.args
    if isinstance(tree, MatrixSelector):
        return [tree.vector_selector]
    if isinstance(tree, AggregateExpr) and isinstance(tree.param, Expr):
        return [tree.expr, tree.param]
    if isinstance(tree, AggregateExpr | ParenExpr | UnaryExpr | SubqueryExpr):
        return [tree.expr]
    return []


def parse(text: str) -> Expr:
    """Read an expression.

    Raises:
        ValueError: it is none, in the parser's words.
    """
    signs = sum(text.count(sign) for sign in "(-+^")
    if signs > MOST_SIGNS:
        raise ValueError(f"it has {signs} brackets and signs; record parts of it")
    tree = promql_parser.parse(text)
    depth = _depth(tree)
    if depth > DEEPEST:
        raise ValueError(f"it is {depth} deep; record parts of it")
    return tree


def _depth(tree: Expr) -> int:
    layer, depth = [tree], 0
    while layer:
        layer, depth = [child for node in layer for child in children(node)], depth + 1
    return depth


NOTHING = parse("0")


def nodes(tree: Expr) -> list[Expr]:
    """List all parts of an expression, itself first."""
    found = [tree]
    for node in found:  # grows as it goes
        found += children(node)
    return found


def selectors(tree: Expr) -> Iterator[VectorSelector]:
    """List what an expression selects."""
    return (node for node in nodes(tree) if isinstance(node, VectorSelector))


def matchers(selector: VectorSelector) -> list[Matcher]:
    """List all matchers but that of the name."""
    every = [*selector.matchers.matchers, *(one for each in selector.matchers.or_matchers for one in each)]  # fmt: skip
    return [matcher for matcher in every if matcher.name != "__name__"]


def named(selector: VectorSelector) -> tuple[str, ...]:
    """Name the metrics that are selected; none where a pattern decides."""
    if selector.name:
        return (selector.name,)
    for matcher in selector.matchers.matchers:
        if matcher.name == "__name__" and matcher.op == MatchOp.Equal:
            return (matcher.value,)
        if matcher.name == "__name__" and matcher.op == MatchOp.Re:
            found = _ALTERNATIVES.fullmatch(matcher.value)
            return tuple(found[1].split("|")) if found else ()
    return ()


def names(tree: Expr) -> set[str]:
    """Name all metrics of an expression."""
    return {name for selector in selectors(tree) for name in named(selector)}


def bare(tree: Expr) -> Expr:
    """Take an expression out of its parentheses."""
    while isinstance(tree, ParenExpr):
        tree = tree.expr
    return tree


def operator(tree: Expr) -> str:
    """Name the operation of a binary expression or an aggregation."""
    return str(tree.op) if isinstance(tree, BinaryExpr | AggregateExpr) else ""


def compares(tree: Expr) -> bool:
    """Tell whether an expression is a comparison."""
    return isinstance(tree, BinaryExpr) and operator(tree) in COMPARISONS


def is_bool(tree: BinaryExpr) -> bool:
    """Tell whether a comparison answers with 0 or 1 where others leave out."""
    return tree.modifier is not None and tree.modifier.return_bool


def scalar(tree: Expr) -> bool:
    """Tell whether an expression has a value and no series."""
    tree = bare(tree)
    if isinstance(tree, UnaryExpr):
        return scalar(tree.expr)
    if isinstance(tree, BinaryExpr):
        return scalar(tree.lhs) and scalar(tree.rhs)
    if isinstance(tree, Call):
        return bool(tree.func.return_type == ValueType.Scalar)
    return isinstance(tree, NumberLiteral | StringLiteral)


def vector(tree: Call) -> Expr | None:
    """Return the argument of a function that has series, where there is one."""
    return next((arg for arg in tree.args if not scalar(arg)), None)
