"""The first page: panels of the five boards that tell a newcomer what goes on, each with a sentence. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lightmeter.catalog import Board


UID = "home"
COLUMNS = 24
Boards = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Theme:
    """A question, the sentence that explains its panels, and those, by board and number."""

    title: str
    says: str
    panels: tuple[tuple[Board, int], ...]


THEMES = (
    Theme(
        "Pictures",
        "Each request asks for pictures; workers make them, one batch at a time. All is well when what arrives is served and hardly anything waits.",
        ((Board.OVERVIEW, 20), (Board.OVERVIEW, 24), (Board.OVERVIEW, 23), (Board.OVERVIEW, 21), (Board.OVERVIEW, 29), (Board.OVERVIEW, 12)),
    ),
    Theme(
        "Latency",
        "How long people wait. p95 is the time within which nineteen of twenty requests are answered; the stages say where that time goes.",
        ((Board.LATENCY, 20), (Board.LATENCY, 10)),
    ),
    Theme(
        "GPUs",
        "What the graphics cards do. A machine without one makes pictures on its processor, slowly; then these panels are empty, and Host shows the work.",
        ((Board.FLEET, 12), (Board.FLEET, 11), (Board.FLEET, 16)),
    ),
    Theme(
        "Quality",
        "Every picture is looked at: black, flat or noisy ones are counted, and users may rate theirs from one star to five.",
        ((Board.LATENCY, 11), (Board.LATENCY, 12)),
    ),
    Theme(
        "Money",
        "What the GPU time costs, and how much of it is spent on nothing. Prices are yours to set.",
        ((Board.COST, 20), (Board.COST, 21), (Board.COST, 23), (Board.COST, 10), (Board.COST, 25)),
    ),
    Theme(
        "Alerts",
        "An alert fires when users suffer or soon will. Its name leads to the runbook, which says what to do first.",
        ((Board.OVERVIEW, 31), (Board.OVERVIEW, 14)),
    ),
)  # fmt: skip


def board(boards: Boards) -> dict[str, Any]:
    """Put the panels under one roof; each knows the board that it is from, as ``from``."""
    overview = boards[Board.OVERVIEW]
    panels: list[dict[str, Any]] = []
    for number, theme in enumerate(THEMES, 1):
        heading = {"x": 0, "y": 0, "w": COLUMNS, "h": 1}
        panels.append({"id": number, "type": "row", "title": theme.title, "description": theme.says, "gridPos": heading})  # fmt: skip
        panels += _side_by_side([_moved(boards, *place) for place in theme.panels])
    kept = ("annotations", "timezone", "schemaVersion")
    return {
        "uid": UID,
        "title": "What goes on here",
        "description": "Pictures, the time they take, the GPUs that make them, whether they are any good, what they cost, and what is wrong.",
        "panels": panels,
        "templating": {"list": _variables(boards)},
        "time": {"from": "now-5m", "to": "now"},
        "refresh": "10s",
        **{key: overview[key] for key in kept},
    }


def _moved(boards: Boards, place: Board, number: int) -> dict[str, Any]:
    (panel,) = (each for each in boards[place]["panels"] if each["id"] == number and each["type"] != "row")  # fmt: skip
    return {**panel, "from": str(place)}


def _side_by_side(panels: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Let the numbers fill one line, and the charts another."""
    numbers = sum(panel["type"] == "stat" for panel in panels)
    widths = {True: COLUMNS // max(numbers, 1), False: COLUMNS // max(len(panels) - numbers, 1)}
    return [panel | {"gridPos": panel["gridPos"] | {"w": widths[panel["type"] == "stat"]}} for panel in panels]  # fmt: skip


def _variables(boards: Boards) -> list[Mapping[str, Any]]:
    """Take the variables of all boards, each once; those that belong to one board keep their value."""
    every = [each for one in boards.values() for each in one["templating"]["list"]]
    return [each if each["type"] == "query" else {**each, "hide": 2} for each in {each["name"]: each for each in every}.values()]  # fmt: skip
