"""Rules on a board's variables and on what panels say of themselves. Pure.

The seventeen rules of https://github.com/grafana/dashboard-linter (read 2026-11), restated for
panels of every type; those on queries are in `lint_queries`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from dashboards.expressions import parse
from dashboards.finding import Finding, drawn, named, part, source_of, variables
from dashboards.units import is_known


_UNITLESS = {"logs", "news", "dashlist", "alertlist", "annolist"}
_LABEL_VALUES = re.compile(r"label_values\(\s*(?:(?P<query>.+?)\s*,\s*)?(?P<label>\w+)\s*\)")
_OTHER = re.compile(r"(?:label_names|metrics|query_result)\(\s*(?P<query>.*?)\s*\)")
_ON_TIME_CHANGE = 2
"""How Grafana writes a variable that is asked for again when the time changes."""


def check(board: Mapping[str, Any]) -> Iterator[Finding]:
    """Hold a board against them."""
    yield from _source(board)
    for name in ("job", "instance"):
        yield from _chosen(board, name)
    for variable in variables(board):
        if variable.get("type") == "query":
            yield from _asked(variable)
    for panel in drawn(board):
        yield from _panel(panel)
    if board.get("editable") is not False:
        yield Finding("uneditable-dashboard", "dashboard", "can be edited by hand, and the next generation loses that; set editable to false")  # fmt: skip


def _sources(board: Mapping[str, Any]) -> list[str]:
    return [str(one.get("name")) for one in variables(board) if one.get("type") == "datasource"]


def _source(board: Mapping[str, Any]) -> Iterator[Finding]:
    rule, found = "template-datasource", _sources(board)
    if not found:
        yield Finding(rule, "variables", "there is none for the data source; add one of type datasource")  # fmt: skip
    for name in found:
        if name not in ("datasource", "prometheus_datasource"):
            yield Finding(rule, f"variable {name}", "is the data source; call it datasource")
    for one in variables(board):
        if one.get("type") == "datasource" and one.get("label") != "Data source":
            yield Finding(rule, f"variable {one.get('name')}", "should be labelled 'Data source'")


def _chosen(board: Mapping[str, Any], name: str) -> Iterator[Finding]:
    rule, where = f"template-{name}", f"variable {name}"
    one = next((each for each in variables(board) if each.get("name") == name), None)
    if one is None:
        yield Finding(rule, where, "is not there; add it, so that one of several can be chosen")
        return
    wanted = {"type": "query", "label": name.capitalize(), "multi": True, "allValue": ".+"}
    for key, value in wanted.items():
        if one.get(key) != value:
            yield Finding(rule, where, f"has {key} {one.get(key)!r}; it should be {value!r}")
    if source_of(one).strip("${}") not in _sources(board):
        yield Finding(rule, where, "does not ask the chosen data source")


def _asked(variable: Mapping[str, Any]) -> Iterator[Finding]:
    where = f"variable {variable.get('name')}"
    if variable.get("refresh") != _ON_TIME_CHANGE:
        yield Finding("template-on-time-change-reload", where, "keeps old values when the time changes; set refresh to 2")  # fmt: skip
    text = variable_query(variable)
    match = _LABEL_VALUES.fullmatch(text) or _OTHER.fullmatch(text)
    if match is None:
        yield Finding("template-label-promql", where, f"asks {text!r}, which is none of label_values, label_names, metrics, query_result")  # fmt: skip
        return
    query = match["query"]
    error = parse(query).error if query and not text.startswith("metrics") else ""
    if error:
        yield Finding("template-label-promql", where, f"asks {query!r}: {error}")


def variable_query(variable: Mapping[str, Any]) -> str:
    """Take a variable's query, in either form."""
    query = variable.get("query")
    return str(query.get("query", "") if isinstance(query, dict) else query or "")


def label_values(text: str) -> tuple[str, str]:
    """Take ``label_values(query, label)`` apart; empty where it is something else."""
    match = _LABEL_VALUES.fullmatch(text)
    return (match["query"] or "", match["label"]) if match else ("", "")


def _panel(panel: Mapping[str, Any]) -> Iterator[Finding]:
    where, kind = named(panel), str(panel.get("type"))
    if not panel.get("title") or not panel.get("description"):
        yield Finding("panel-title-description", where, "needs a title and a description")
    if "$" not in source_of(panel):
        yield Finding("panel-datasource", where, "has a fixed data source; let it use the variable")
    if kind in _UNITLESS:
        return
    if not panel.get("targets"):
        yield Finding("panel-no-targets", where, "asks nothing")
    defaults = part(panel, "fieldConfig", "defaults")
    unit = str(defaults.get("unit") or "")
    if not unit and not any(_is_words(one) for one in defaults.get("mappings") or ()):
        yield Finding("panel-units", where, "has no unit; `none` is one")
    yield from _units(panel, where)


def _is_words(mapping: Any) -> bool:
    return isinstance(mapping, dict) and mapping.get("type") in ("value", "range", "regex")


def _units(panel: Mapping[str, Any], where: str) -> Iterator[Finding]:
    """Find units at any depth: of fields, their overrides, axes and cells."""
    for unit in sorted(set(_found_units(panel.get("fieldConfig"))) | set(_found_units(panel.get("options")))):  # fmt: skip
        if unit and not is_known(unit):
            yield Finding("unit-known", where, f"has unit {unit!r}, which Grafana would print as it stands")  # fmt: skip


def _found_units(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if value.get("id") == "unit" and isinstance(value.get("value"), str):
            yield value["value"]
        for key, inner in value.items():
            if key == "unit" and isinstance(inner, str):
                yield inner
            yield from _found_units(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _found_units(inner)
