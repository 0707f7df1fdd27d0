"""The dashboards and those of their panels that others link to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Board(StrEnum):
    """Each dashboard, by its uid."""

    OVERVIEW = "lightmeter-overview"
    LATENCY = "lightmeter-latency"
    FLEET = "lightmeter-fleet"
    CAPACITY = "lightmeter-capacity"
    COST = "lightmeter-cost"


@dataclass(frozen=True)
class Panel:
    """A panel that an alert's text links to; ``number`` is its id on the board, for good."""

    board: Board
    number: int
    title: str

    def url(self, root: str) -> str:
        """Say where it is, under the root of Grafana or of the live page."""
        return f"{root}/d/{self.board}?viewPanel={self.number}"


# fmt: off
BURN_RATE = Panel(Board.OVERVIEW, 10, "Burn rate")
ERROR_BUDGET = Panel(Board.OVERVIEW, 11, "Error budget left")
REQUEST_OUTCOMES = Panel(Board.OVERVIEW, 12, "Requests by outcome")
WORKERS_BY_STATE = Panel(Board.OVERVIEW, 13, "Workers by state")
TARGETS = Panel(Board.OVERVIEW, 14, "Who answers scrapes")
STAGES = Panel(Board.LATENCY, 10, "Where the time goes")
ANOMALIES_BY_KIND = Panel(Board.LATENCY, 11, "Pictures with a fault")
RATINGS = Panel(Board.LATENCY, 12, "Users' ratings")
GPU_HEALTH = Panel(Board.FLEET, 10, "GPUs that answer")
GPU_MEMORY = Panel(Board.FLEET, 11, "Memory and its peaks")
GPU_UTILIZATION = Panel(Board.FLEET, 12, "Utilisation")
GPU_CLOCKS = Panel(Board.FLEET, 13, "Clocks held down")
GPU_ERRORS = Panel(Board.FLEET, 14, "XID and memory errors")
POD_MEMORY = Panel(Board.FLEET, 15, "Memory by container")
HOST = Panel(Board.FLEET, 16, "Host")
QUEUE = Panel(Board.CAPACITY, 10, "Queue")
COLD_STARTS = Panel(Board.CAPACITY, 11, "Cold starts")
REPLICAS = Panel(Board.CAPACITY, 29, "Replicas")
DECIDED = Panel(Board.CAPACITY, 30, "Decisions")
TARGET_ANSWERS = Panel(Board.CAPACITY, 38, "What the target answers")
SPEND = Panel(Board.COST, 10, "Spend against budget")
IDLE_SPEND = Panel(Board.COST, 11, "Idle GPUs")
ENERGY_PER_WORK = Panel(Board.COST, 12, "Energy for each unit of work")
GPU_TIME = Panel(Board.COST, 13, "GPU time by use")
# fmt: on
