"""All rules over dashboards in Grafana's classic form."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dashboards import lint_board, lint_layout, lint_queries
from dashboards.finding import Finding
from lightmeter.errors import DashboardError, explain


_LARGEST = 16 * 2**20
"""Bytes of a file that is read; the largest published dashboards have under one megabyte."""


def read(path: Path) -> dict[str, Any]:
    """Read a dashboard's file, bare or as Grafana's API wraps it.

    Raises:
        DashboardError: naming the file, and what is wrong with it.
    """
    name = f"dashboard {str(path)!r}"
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST + 1)
    except OSError as error:
        raise DashboardError(f"{name} {explain(error)}") from error
    if len(text) > _LARGEST:
        raise DashboardError(f"{name} has more than {_LARGEST // 2**20} MiB; that is no dashboard")
    try:
        made = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DashboardError(f"{name} is no JSON: {error}") from error
    if isinstance(made, dict) and isinstance(made.get("dashboard"), dict):
        made = made["dashboard"]
    if not isinstance(made, dict) or not isinstance(made.get("panels"), list):
        raise DashboardError(f"{name} has no list of panels; give a dashboard in Grafana's classic form (not v2)")  # fmt: skip
    return made


def findings(board: dict[str, Any], together: Sequence[dict[str, Any]] = ()) -> list[Finding]:
    """Hold a dashboard against all rules; ``together`` are the others that it may link to."""
    return [
        *lint_board.check(board),
        *lint_queries.check(board),
        *lint_layout.check(board, (board, *together)),
    ]
