"""The five boards, in the order of their links. Pure."""

from __future__ import annotations

from dashboards import capacity, cost, fleet, latency, overview
from dashboards.panel import Dashboard


def all_boards() -> tuple[Dashboard, ...]:
    """Make them."""
    return (
        overview.dashboard(),
        latency.dashboard(),
        fleet.dashboard(),
        capacity.dashboard(),
        cost.dashboard(),
    )
