"""The boards as files: JSON, provisioning for a Grafana, ConfigMaps for its sidecar. Pure.

https://grafana.com/docs/grafana/latest/administration/provisioning/
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from dashboards.boards import all_boards
from dashboards.render import dashboard
from lightmeter.errors import DashboardError, nearest


RUNBOOK = "http://127.0.0.1:9090/runbook"
"""Where the alerts' own links lead by default."""
FOLDER = "Lightmeter"
SIDECAR = {"grafana_dashboard": "1"}
"""The label by which the sidecar of Grafana's Helm chart finds ConfigMaps."""
_MOUNTED = "/var/lib/grafana/dashboards/lightmeter"
_NOTE = "# Made by lightmeter dashboards generate.\n"


def generate(formats: tuple[str, ...], runbook: str = RUNBOOK) -> dict[str, str]:
    """Make the texts of the formats' files, by their paths.

    Raises:
        DashboardError: for a format that does not exist.
    """
    for name in formats:
        if name not in FORMATS:
            known = ", ".join(FORMATS)
            raise DashboardError(f"format {name!r} does not exist; there are {known}{nearest(name, FORMATS)}")  # fmt: skip
    boards = {str(one.board): as_json(dashboard(one, runbook)) for one in all_boards()}
    return {path: text for name in formats for path, text in FORMATS[name](boards).items()}


def as_json(made: Mapping[str, Any]) -> str:
    """Write a board as a file."""
    return json.dumps(made, indent=2, ensure_ascii=False) + "\n"


def _json(boards: Mapping[str, str]) -> dict[str, str]:
    return {f"json/{uid}.json": text for uid, text in boards.items()}


def _provisioning(_: Mapping[str, str]) -> dict[str, str]:
    """Tell a Grafana of its own where the boards and the Prometheus are."""
    provider = {
        "name": "lightmeter",
        "folder": FOLDER,
        "type": "file",
        "allowUiUpdates": False,
        "options": {"path": _MOUNTED},
    }
    source = {
        "name": "Prometheus",
        "uid": "lightmeter-prometheus",
        "type": "prometheus",
        "access": "proxy",
        "url": "http://prometheus:9090",
        "jsonData": {
            "httpMethod": "POST",
            "timeInterval": "15s",
            "exemplarTraceIdDestinations": [{"name": "trace_id", "datasourceUid": "tempo"}],
        },
    }
    return {
        "provisioning/dashboards/lightmeter.yaml": _yaml({"apiVersion": 1, "providers": [provider]}),
        "provisioning/datasources/lightmeter.yaml": _yaml({"apiVersion": 1, "datasources": [source]}),
    }  # fmt: skip


def _configmaps(boards: Mapping[str, str]) -> dict[str, str]:
    """Make a ConfigMap for each board, since one may hold a mebibyte at most, and what applies all."""
    made = {f"configmap/{uid}.yaml": _yaml(_configmap(uid, text)) for uid, text in boards.items()}
    together = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [f"{uid}.yaml" for uid in boards],
    }
    return made | {"configmap/kustomization.yaml": _yaml(together)}


def _configmap(uid: str, text: str) -> dict[str, Any]:
    metadata = {"name": uid, "labels": SIDECAR, "annotations": {"grafana_folder": FOLDER}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {f"{uid}.json": text}}  # fmt: skip


def _yaml(made: Mapping[str, Any]) -> str:
    return _NOTE + str(yaml.safe_dump(made, sort_keys=False, allow_unicode=True, width=1000))


FORMATS: dict[str, Callable[[Mapping[str, str]], dict[str, str]]] = {
    "json": _json,
    "provisioning": _provisioning,
    "configmap": _configmaps,
}
