"""Whether a comparison can be true, and can be false. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator

from promql_parser import BinaryExpr, Call, Expr

from alerts.finding import Code, Finding
from alerts.reading import bare, compares, is_bool, matchers, names, nodes, operator, selectors
from alerts.rulefile import Written
from alerts.span import ANY, COUNTED, Span, span
from alerts.world import World


_MIRROR = {">": "<", "<": ">", ">=": "<=", "<=": ">=", "==": "==", "!=": "!="}
_DECIDING = ("and", "unless")
_ABSENT = ("absent", "absent_over_time")
_EXISTING = ("ALERTS", "ALERTS_FOR_STATE")
"""Series that are there while something is so."""


def value(rule: Written, world: World) -> Iterator[Finding]:
    """See that each comparison can be true and can be false, and that an alert compares at all."""
    for node in nodes(rule.tree):
        if isinstance(node, BinaryExpr) and compares(node):
            yield from _compared(rule, node, world)
    if rule.is_alert and not _decides(rule.tree, world):
        yield rule.says(Code.ALWAYS, "nothing is compared, so the alert fires for every series whatever its value; add a threshold", "expr")  # fmt: skip


def _compared(rule: Written, node: BinaryExpr, world: World) -> Iterator[Finding]:
    lhs, rhs, name = span(node.lhs, world), span(node.rhs, world), operator(node)
    if ANY in (lhs, rhs) or _is_vector(node.lhs) or _is_vector(node.rhs):
        return
    about = f"{node.lhs.prettify()} {name} {node.rhs.prettify()}".replace("\n", " ")
    if _never(lhs, rhs, name):
        yield rule.says(Code.NEVER, f"{_short(about)} is never true: {_why(lhs, rhs)}", "expr")
    elif _always(lhs, rhs, name) and COUNTED not in (lhs, rhs):
        yield rule.says(Code.ALWAYS, f"{_short(about)} is always true: {_why(lhs, rhs)}", "expr")


def _never(lhs: Span, rhs: Span, name: str) -> bool:
    if name in ("<", "<="):
        return _never(rhs, lhs, _MIRROR[name])
    if name == ">":
        return lhs[1] <= rhs[0]
    if name == ">=":
        return lhs[1] < rhs[0]
    apart = lhs[1] < rhs[0] or rhs[1] < lhs[0]
    return apart if name == "==" else _same(lhs, rhs)


def _always(lhs: Span, rhs: Span, name: str) -> bool:
    return _never(lhs, rhs, {">": "<=", ">=": "<", "<": ">=", "<=": ">", "==": "!=", "!=": "=="}[name])  # fmt: skip


def _same(lhs: Span, rhs: Span) -> bool:
    return lhs == rhs and lhs[0] == lhs[1]


def _why(lhs: Span, rhs: Span) -> str:
    if COUNTED in (lhs, rhs):
        return "a count is 1 at least, and there is none of nothing; take absent(), or add 'or vector(0)'"
    advice = "; a ratio is 0 to 1" if 1.0 in (lhs[1], rhs[1]) else ""
    return f"{_between(lhs)} is compared with {_between(rhs)}{advice}"


def _between(one: Span) -> str:
    if one[0] == one[1]:
        return f"{one[0]:g}"
    return f"a value of {one[0]:g} and more" if math.isinf(one[1]) else f"a value from {one[0]:g} to {one[1]:g}"  # fmt: skip


def _decides(tree: Expr, world: World) -> bool:
    """Tell whether an expression leaves anything out, or asks for what is not there."""
    if names(tree) & set(_EXISTING) or _is_vector(tree) or _picks(tree, world):
        return True
    return any(
        (isinstance(node, BinaryExpr) and (operator(node) in _DECIDING or (compares(node) and not is_bool(node))))
        or (isinstance(node, Call) and node.func.name in _ABSENT)
        for node in nodes(tree)
    )  # fmt: skip


def _picks(tree: Expr, world: World) -> bool:
    """Tell whether a stranger is picked by its labels; its being there may be the condition."""
    return any(matchers(one) and not names(one) <= world.series.keys() for one in selectors(tree))


def _is_vector(tree: Expr) -> bool:
    tree = bare(tree)
    return isinstance(tree, Call) and tree.func.name == "vector"


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) < 90 else f"{text[:40]} ... {text[-40:]}"  # noqa: PLR2004  (what a line bears)
