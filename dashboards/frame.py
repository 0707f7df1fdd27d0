"""What all boards have around their panels: variables, marks, links to each other. Pure."""

from __future__ import annotations

from typing import Any

from dashboards.panel import Choice, Dashboard
from dashboards.query import ALERTS, UP
from lightmeter import catalog
from lightmeter.catalog import Board


SOURCE = {"type": "prometheus", "uid": "${datasource}"}
SERVING = catalog.IN_FLIGHT.name
"""A gauge that each server has from its start on, traffic or not."""
_STEP = "1m"
_CHANGES = ("up", "down", "freeze")
QUERIES = (
    ("service", "Service", f"label_values({SERVING}, service)"),
    ("model", "Model", f'label_values({SERVING}{{service=~"$service"}}, model)'),
    ("job", "Job", f"label_values({UP}, job)"),
    ("instance", "Instance", f'label_values({UP}{{job=~"$job"}}, instance)'),
)
"""Variables: several values or all; all is a pattern that any value matches."""
MARKS = (
    ("Alerts", "red", f'{ALERTS}{{alertstate="firing", severity!="none"}}', "{{alertname}}", "{{severity}} {{service}}{{instance}}"),
    ("Model loads", "blue", f'sum by (service, instance) (increase({catalog.MODEL_LOAD.name}_count{{service=~"$service", model=~"$model", job=~"$job", instance=~"$instance", phase="{catalog.LoadPhase.WARMUP}"}}[{_STEP}])) > 0', "A worker loaded its model", "{{service}} on {{instance}}"),
    ("Restarts", "purple", f'changes({catalog.EXPORTER_START.name}{{job=~"$job", instance=~"$instance"}}[{_STEP}]) > 0', "The exporter was restarted", "{{instance}}"),
    ("Scaling", "green", f'sum by (target, action, term) (increase({catalog.DECISIONS.name}{{job=~"$job", instance=~"$instance", action=~"{"|".join(_CHANGES)}"}}[{_STEP}])) > 0', "Scaling {{action}}", "{{target}}: {{term}}"),
)  # fmt: skip
"""What is drawn over all panels: its name, colour, query, title and text."""


def variables(one: Dashboard) -> list[dict[str, Any]]:
    """Make the variables of a board."""
    source = {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "current": {},
        "hide": 0,
        "refresh": 1,
    }
    return [
        source,
        *(_queried(*row) for row in QUERIES),
        *(_chosen(choice) for choice in one.choices),
    ]


def _queried(name: str, label: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "definition": query,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".+",
        "current": {"text": ["All"], "value": ["$__all"]},
        "hide": 0,
    }


def _chosen(choice: Choice) -> dict[str, Any]:
    current = {"text": choice.default, "value": choice.default}
    shared = {"name": choice.name, "label": choice.label, "current": current, "hide": 0}
    if not choice.values:
        return shared | {"type": "textbox", "query": choice.default, "options": [current]}
    options = [{"text": each, "value": each, "selected": each == choice.default} for each in choice.values]  # fmt: skip
    return shared | {"type": "custom", "query": ",".join(choice.values), "options": options, "multi": False, "includeAll": False}  # fmt: skip


def marks() -> list[dict[str, Any]]:
    """Make the marks that are drawn over all panels."""
    return [
        {
            "name": name,
            "datasource": SOURCE,
            "enable": True,
            "hide": False,
            "iconColor": colour,
            "expr": query,
            "step": _STEP,
            "titleFormat": title,
            "textFormat": text,
            "useValueForTime": False,
        }
        for name, colour, query, title, text in MARKS
    ]


def links(here: Dashboard, boards: tuple[Dashboard, ...]) -> list[dict[str, Any]]:
    """Link to the other boards, keeping the time and what was chosen.

    Jobs and instances of servers are not those of exporters, so they stay behind on the way to
    the fleet and back.
    """
    return [_link(here.board, there) for there in boards if there.board != here.board]


def _link(here: Board, there: Dashboard) -> dict[str, Any]:
    same = Board.FLEET not in (here, there.board)
    kept = "&".join(f"${{{name}:queryparam}}" for name in ("datasource", "service", "model"))
    return {
        "title": there.title.partition(" / ")[2],
        "type": "link",
        "icon": "dashboard",
        "url": f"/d/{there.board}" if same else f"/d/{there.board}?{kept}",
        "tooltip": there.about,
        "keepTime": True,
        "includeVars": same,
        "targetBlank": False,
        "asDropdown": False,
        "tags": [],
    }
