"""Rules on queries: PromQL, ranges, variables, counters, and that what they ask for exists. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dashboards.expressions import RATE_SECONDS, Parsed, Selector, parse
from dashboards.finding import Finding, dicts, drawn, named, part, queries, variables
from dashboards.lint_board import label_values, variable_query
from dashboards.names import LABELS, SCRAPED, is_scraped, labels_of
from lightmeter.errors import nearest


_RATES = {"rate", "irate"}
_GROWTH = {*_RATES, "increase", "resets", "changes"}


def check(board: Mapping[str, Any]) -> Iterator[Finding]:
    """Hold a board's queries against them."""
    yield from _logs(board)
    for where, query in queries(board):
        parsed = parse(query)
        if parsed.error:
            yield Finding("target-promql", where, f"is no PromQL: {parsed.error}")
        for selector in parsed.selectors:
            yield from _selected(where, selector)
        yield from _existing(where, parsed)
    for where, query in _beside(board):
        parsed = parse(query)
        if parsed.error:
            yield Finding("target-promql", where, f"is no PromQL: {parsed.error}")
        yield from _existing(where, parsed)


def _logs(board: Mapping[str, Any]) -> Iterator[Finding]:
    """Refuse log queries, which nothing here can hold against anything."""
    for panel in drawn(board):
        for target in [panel, *dicts(panel.get("targets"))]:
            kind = part(target, "datasource").get("type", "prometheus")
            if kind == "loki":
                yield Finding("target-logql", named(panel), "asks a log store; LogQL cannot be checked here")  # fmt: skip
                if "$__auto" not in str(target.get("expr", "$__auto")):
                    yield Finding("target-logql-auto", named(panel), "needs $__auto as the range of its log query")  # fmt: skip


def _selected(where: str, one: Selector) -> Iterator[Finding]:
    if one.function in _RATES and one.range_seconds not in (None, RATE_SECONDS):
        yield Finding("target-rate-interval", where, f"takes the {one.function} of {one.name} over a fixed range; write $__rate_interval")  # fmt: skip
    if one.name.endswith("_total") and one.function not in _GROWTH:
        yield Finding("target-counter-agg", where, f"reads the counter {one.name} as it stands; take its rate or increase")  # fmt: skip
    if not is_scraped(one.name):
        return  # recorded series and alerts have lost the target's labels
    for label in SCRAPED:
        matched = {(m.operator, m.value.strip("${}")) for m in one.matchers if m.label == label}
        if ("=~", label) not in matched:
            yield Finding(f"target-{label}", where, f'selects {one.name or "series"} without {label}=~"${label}"')  # fmt: skip


def _existing(where: str, parsed: Parsed) -> Iterator[Finding]:
    for one in parsed.selectors:
        labels = labels_of(one.name)
        if labels is None:
            yield Finding("metric-exists", where, f"asks for {one.name or 'series without a name'!s}, which nothing exposes or records{nearest(one.name, LABELS)}")  # fmt: skip
            continue
        for matcher in one.matchers:
            if matcher.label not in labels:
                yield Finding("label-exists", where, f"chooses {one.name} by {matcher.label}, which it does not have{nearest(matcher.label, labels)}")  # fmt: skip
    for grouping, selectors in parsed.groupings:
        known = {label for one in selectors for label in labels_of(one.name) or grouping}
        for label in grouping:
            if label not in known:
                yield Finding("label-exists", where, f"groups by {label}, which none of its series has")  # fmt: skip


def _beside(board: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the queries of variables and marks."""
    for variable in variables(board):
        query, _ = label_values(variable_query(variable))
        if variable.get("type") == "query" and query:
            yield f"variable {variable.get('name')}", query
    for mark in dicts(part(board, "annotations").get("list")):
        if isinstance(mark.get("expr"), str):
            yield f"mark {mark.get('name')}", mark["expr"]
