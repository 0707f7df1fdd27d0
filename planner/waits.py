"""The waits of an option, service by service. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np

from lightmeter.replay import Floats
from planner.demand import Demand
from planner.options import Option, Terms


MOST_SERVICES = 200
"""Services, largest first, whose waits are told of under each option."""
_QUANTILES = {"wait_p50_seconds": 0.5, "wait_p95_seconds": 0.95, "wait_p99_seconds": 0.99}


def quantiles(waits: Floats) -> dict[str, Any]:
    """Number of requests, and the waits that so many of them do not exceed."""
    found = np.quantile(waits, list(_QUANTILES.values()), method="inverted_cdf")
    numbers = {name: round(float(value), 6) for name, value in zip(_QUANTILES, found, strict=True)}
    return {"requests": len(waits), **numbers}


def by_service(option: Option, demand: Demand, terms: Terms) -> list[dict[str, Any]]:
    """Tell of each service what its requests that the objective is about wait, largest first.

    A service of batch requests alone is told of by all of them.
    """
    counts = np.bincount(demand.owner, minlength=len(demand.services))
    judged, within = demand.judged, terms.slo.within(option.waits)
    found = []
    for service in np.argsort(-counts, kind="stable")[:MOST_SERVICES].tolist():
        rows = demand.rows(service)
        asked = rows[judged[rows]]
        rows = asked if len(asked) else rows
        found.append(
            {
                "name": demand.services[service],
                **quantiles(option.waits[rows]),
                "slo_attainment": round(float(within[rows].mean()), 6),
            }
        )
    return found
