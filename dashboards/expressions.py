"""What a query of a panel asks for: its selectors, their ranges, the labels that it groups by. Pure.

The grammar is promql-parser's, https://pypi.org/project/promql-parser/. Grafana's variables are put in first:
in a number's place a number, in a range's place a duration that nobody would write.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import promql_parser as grammar


_RANGES = {"__rate_interval": 7199, "__interval": 7193, "__range": 7187}
"""Seconds that stand for Grafana's own ranges."""
RATE_SECONDS = _RANGES["__rate_interval"]
_VARIABLE = re.compile(r"\$\{(\w+)(?::\w+)?\}|\$(\w+)|\[\[(\w+)\]\]")
_OPEN_SUBQUERY = re.compile(r":\s*\]")
_STRING = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|`[^`]*`')


@dataclass(frozen=True)
class Matcher:
    """One condition on a label."""

    label: str
    operator: str
    value: str


@dataclass(frozen=True)
class Selector:
    """Series that a query selects, and how."""

    name: str
    matchers: tuple[Matcher, ...]
    range_seconds: float | None = None
    function: str = ""
    """The innermost function around it."""


@dataclass(frozen=True)
class Parsed:
    """A query's selectors, and each grouping or matching with the selectors that it is about."""

    selectors: tuple[Selector, ...] = ()
    groupings: tuple[tuple[tuple[str, ...], tuple[Selector, ...]], ...] = ()
    error: str = ""


def parse(query: str) -> Parsed:
    """Read a query; what is wrong with it stands in ``error``."""
    try:
        tree = grammar.parse(_filled(query))
    except ValueError as error:
        return Parsed(error=" ".join(str(error).split()))
    return Parsed(tuple(_selectors(tree)), tuple(_groupings(tree)))


def _filled(query: str) -> str:
    """Put values in for variables; inside quotes they stay, as a pattern that matches itself."""
    kept = [match.span() for match in _STRING.finditer(query)]

    def value(match: re.Match[str]) -> str:
        if any(begin <= match.start() < end for begin, end in kept):
            return match[0]
        name = next(group for group in match.groups() if group)
        if name in _RANGES:
            return f"{_RANGES[name]}s"
        in_range = query[: match.start()].rstrip().endswith(("[", ":", "offset"))
        return "3607s" if in_range else "1"

    return _OPEN_SUBQUERY.sub(":1m]", _VARIABLE.sub(value, query))


def _children(node: Any) -> Iterator[Any]:
    for name in ("expr", "lhs", "rhs", "param"):
        inner = getattr(node, name, None)
        if inner is not None:
            yield inner
    yield from getattr(node, "args", None) or ()


def _selectors(node: Any, function: str = "") -> Iterator[Selector]:
    if isinstance(node, grammar.VectorSelector):
        yield Selector(*_named(node), function=function)
    elif isinstance(node, grammar.MatrixSelector):
        inner = Selector(*_named(node.vector_selector), function=function)
        length: timedelta = node.range
        yield replace(inner, range_seconds=length.total_seconds())
    else:
        here = node.func.name if isinstance(node, grammar.Call) else function
        for inner_node in _children(node):
            yield from _selectors(inner_node, here)


def _named(node: Any) -> tuple[str, tuple[Matcher, ...]]:
    """Take a selector's name, whichever way it is written, and its other conditions."""
    every = (*node.matchers.matchers, *(one for group in node.matchers.or_matchers for one in group))  # fmt: skip
    found = [Matcher(one.name, _OPERATORS[str(one.op)], one.value) for one in every]
    name = node.name or next((one.value for one in found if one.label == "__name__"), "")
    return name, tuple(one for one in found if one.label != "__name__")


def _groupings(node: Any) -> Iterator[tuple[tuple[str, ...], tuple[Selector, ...]]]:
    labels = _grouped(node)
    if labels:
        yield labels, tuple(_selectors(node))
    for inner in _children(node):
        yield from _groupings(inner)


def _grouped(node: Any) -> tuple[str, ...]:
    modifier = getattr(node, "modifier", None)
    if modifier is None:
        return ()
    if isinstance(node, grammar.AggregateExpr):
        return tuple(modifier.labels)
    matching = modifier.matching
    return (*(matching.labels if matching else ()), *(modifier.group_labels or ()))


_OPERATORS = {
    "MatchOp.Equal": "=",
    "MatchOp.NotEqual": "!=",
    "MatchOp.Re": "=~",
    "MatchOp.NotRe": "!~",
}
