"""The ways to serve the demand, each sized by replay and priced: a module for each family."""

from planner.options.base import (
    NAMES,
    Option,
    OptionKind,
    Placement,
    Replay,
    Sharing,
    Terms,
    cost,
    fewest,
    keeps_objective,
    monthly,
    p95,
    quantile,
    round_up,
)
from planner.options.elastic import IDLE_TIMEOUTS, elastic_waits, on_demand
from planner.options.rented import dedicated, shared
from planner.options.table import WAYS, Way


__all__ = [
    "IDLE_TIMEOUTS",
    "NAMES",
    "WAYS",
    "Option",
    "OptionKind",
    "Placement",
    "Replay",
    "Sharing",
    "Terms",
    "Way",
    "cost",
    "dedicated",
    "elastic_waits",
    "fewest",
    "keeps_objective",
    "monthly",
    "on_demand",
    "p95",
    "quantile",
    "round_up",
    "shared",
]
