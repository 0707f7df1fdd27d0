"""Panels as Grafana's JSON, in the classic form that versions 10 to 13 read. Pure.

https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dashboards.boards import all_boards
from dashboards.frame import SOURCE, links, marks, variables
from dashboards.names import described
from dashboards.panel import Dashboard, Kind, Panel, Section, Target


SCHEMA = 39
"""Version of the form: Grafana 10.4's."""
COLUMNS = 24
_FIXED = {"mode": "fixed", "fixedColor": "text"}
_PALETTE = {"mode": "palette-classic"}
_JUDGED = {"mode": "thresholds"}
_FORMATS = {Kind.HEAT: "heatmap", Kind.TABLE: "table"}
_INSTANT = (Kind.TABLE, Kind.BARS)


def dashboard(one: Dashboard, runbook: str) -> dict[str, Any]:
    """Make a board; ``runbook`` is the address behind whose ``#`` an alert's name stands."""
    return {
        "uid": str(one.board),
        "title": one.title,
        "description": one.about,
        "tags": ["lightmeter"],
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "links": links(one, all_boards()),
        "annotations": {"list": marks()},
        "templating": {"list": variables(one)},
        "panels": list(_laid_out(one.sections, runbook)),
    }


def _laid_out(sections: tuple[Section, ...], runbook: str) -> Iterator[dict[str, Any]]:
    """Put panels side by side as long as they fit, under a heading for each section."""
    y = 0
    for number, section in enumerate(sections, 1):
        yield _heading(number, section.title, y)
        x, y, tallest = 0, y + 1, 0
        for panel in section.panels:
            if x + panel.width > COLUMNS:
                x, y, tallest = 0, y + tallest, 0
            yield _panel(panel, runbook) | {"gridPos": {"x": x, "y": y, "w": panel.width, "h": panel.height}}  # fmt: skip
            x, tallest = x + panel.width, max(tallest, panel.height)
        y += tallest


def _heading(number: int, title: str, y: int) -> dict[str, Any]:
    grid = {"x": 0, "y": y, "w": COLUMNS, "h": 1}
    return {"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": grid, "panels": []}  # fmt: skip


def _panel(panel: Panel, runbook: str) -> dict[str, Any]:
    made = {
        "id": panel.place.number,
        "type": str(panel.kind),
        "title": panel.place.title,
        "description": described(panel),
        "datasource": SOURCE,
        "targets": [_target(target, panel.kind, chr(65 + i)) for i, target in enumerate(panel.targets)],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": _overrides(panel, runbook)},
        "options": _OPTIONS[panel.kind](panel),
    }  # fmt: skip
    return made | ({"transformations": _TIDY} if panel.kind is Kind.TABLE else {})


def _target(target: Target, kind: Kind, letter: str) -> dict[str, Any]:
    instant = kind in _INSTANT
    return {
        "refId": letter,
        "datasource": SOURCE,
        "expr": target.expr,
        "legendFormat": target.legend or "__auto",
        "editorMode": "code",
        "range": not instant,
        "instant": instant,
        "exemplar": target.exemplar,
        "format": _FORMATS.get(kind, "time_series"),
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    made: dict[str, Any] = {
        "unit": panel.unit,
        "noValue": panel.empty,
        "color": _colour(panel),
        "mappings": _mappings(panel),
        "thresholds": _thresholds(panel),
        "custom": _custom(panel),
    }
    found = {"min": panel.least, "max": panel.most, "decimals": panel.decimals}
    if panel.kind in (Kind.HEAT, Kind.TABLE, Kind.STATES):
        return made
    return made | {key: value for key, value in found.items() if value is not None}


def _colour(panel: Panel) -> dict[str, str]:
    if panel.steps and panel.kind is not Kind.LINES:
        return _JUDGED
    return _FIXED if panel.kind is Kind.STAT else _PALETTE


def _mappings(panel: Panel) -> list[dict[str, Any]]:
    nothing = {"type": "special", "options": {"match": "null+nan", "result": {"text": panel.empty}}}
    options = {
        value: {"text": text, "color": colour, "index": index}
        for index, (value, text, colour) in enumerate(panel.words)
    }
    return [{"type": "value", "options": options}] if panel.words else [nothing]


def _thresholds(panel: Panel) -> dict[str, Any]:
    """Draw the first colour from minus infinity on, as Grafana wants it."""
    steps = [
        {"color": colour, "value": value if index else None}
        for index, (value, colour) in enumerate(panel.steps)
    ]
    return {"mode": "absolute", "steps": steps or [{"color": "text", "value": None}]}


def _custom(panel: Panel) -> dict[str, Any]:
    if panel.kind is Kind.STATES:
        return {"fillOpacity": 70, "lineWidth": 0}
    if panel.kind is not Kind.LINES:
        return {}
    return {
        "drawStyle": "line",
        "lineWidth": 1,
        "fillOpacity": 25 if panel.stacked else 8,
        "showPoints": "auto",
        "spanNulls": False,
        "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if panel.steps else "off"},
    }


def _overrides(panel: Panel, runbook: str) -> list[dict[str, Any]]:
    """Let the name of an alert in a table lead to the runbook."""
    if panel.kind is not Kind.TABLE:
        return []
    link = {"title": "Runbook", "url": f"{runbook}#${{__value.text}}", "targetBlank": True}
    return [
        {
            "matcher": {"id": "byName", "options": "alertname"},
            "properties": [{"id": "links", "value": [link]}],
        }
    ]


def _stat(panel: Panel) -> dict[str, Any]:
    return {
        "colorMode": "value",
        "graphMode": "area",
        "justifyMode": "auto",
        "textMode": "auto" if len(panel.targets) == 1 else "value_and_name",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    }


def _lines(panel: Panel) -> dict[str, Any]:
    return {
        "legend": {
            "showLegend": True,
            "displayMode": "list",
            "placement": "bottom",
            "calcs": ["lastNotNull"],
        },
        "tooltip": {"mode": "multi", "sort": "desc" if not panel.stacked else "none"},
    }


def _heat(panel: Panel) -> dict[str, Any]:
    return {
        "calculate": False,
        "cellGap": 1,
        "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64},
        "cellValues": {"unit": "short"},
        "filterValues": {"le": 1e-9},
        "exemplars": {"color": "rgba(31, 120, 193, 0.9)"},
        "legend": {"show": True},
        "rowsFrame": {"layout": "auto"},
        "tooltip": {"mode": "single", "yHistogram": True},
        "yAxis": {"axisPlacement": "left", "unit": panel.unit},
    }


def _bars(_: Panel) -> dict[str, Any]:
    return {
        "displayMode": "basic",
        "orientation": "horizontal",
        "showUnfilled": True,
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    }


def _table(_: Panel) -> dict[str, Any]:
    return {"showHeader": True, "cellHeight": "sm"}


def _states(_: Panel) -> dict[str, Any]:
    return {
        "mergeValues": True,
        "rowHeight": 0.8,
        "showValue": "never",
        "legend": {"showLegend": True, "displayMode": "list", "placement": "bottom"},
        "tooltip": {"mode": "single", "sort": "none"},
    }


_OPTIONS = {
    Kind.STAT: _stat,
    Kind.LINES: _lines,
    Kind.HEAT: _heat,
    Kind.BARS: _bars,
    Kind.TABLE: _table,
    Kind.STATES: _states,
}
_HIDDEN = ("Time", "Value", "__name__", "alertstate")
_TIDY = [
    {"id": "organize", "options": {"excludeByName": dict.fromkeys(_HIDDEN, True), "indexByName": {"alertname": 0, "severity": 1}, "renameByName": {}}},
]  # fmt: skip
