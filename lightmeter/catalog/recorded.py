"""Names of recorded series, in the form level:metric:operation.

https://prometheus.io/docs/practices/rules/
"""

from __future__ import annotations


UP = "up"
"""Prometheus's own: 1 where a target answered its last scrape; gone with the target."""
SLO_LABEL = "slo"
"""Names the objective on every series and alert that is about one."""
SLO_REQUESTS = "lightmeter:slo_requests:increase5m"
SLO_ERRORS = "lightmeter:slo_errors:increase5m"
SLO_OBJECTIVE = "lightmeter:slo_objective:ratio"
SLO_BUDGET_LEFT = "lightmeter:slo_budget_left:ratio"
SLO_BUDGET_ENDS = "lightmeter:slo_budget_exhausted:seconds"
COLD_START_MEAN = "lightmeter:cold_start_seconds:mean1h"
ENERGY_PER_WORK_MEAN = "lightmeter:energy_joules_per_work:mean6h"


def slo_requests(window: str) -> str:
    """Name the count of requests in a window like 1h."""
    return f"lightmeter:slo_requests:increase{window}"


def slo_errors(window: str) -> str:
    """Name the count of bad requests in a window."""
    return f"lightmeter:slo_errors:increase{window}"


def slo_error_ratio(window: str) -> str:
    """Name the share of bad requests in a window."""
    return f"lightmeter:slo_error_ratio:{window}"


def slo_error_floor(window: str) -> str:
    """Name the lower bound of that share, as far as so few requests can tell."""
    return f"lightmeter:slo_error_floor:{window}"
