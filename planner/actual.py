"""What the GPUs that were held have cost, and who used them: the spend of the history itself. Pure.

Shares of an hour's GPUs add up to the GPUs: what services worked is theirs, the rest is idle. Where
they worked more than was held, as when requests shared a GPU, the hour is divided by their work.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from lightmeter.units import SECONDS_PER_HOUR, cents
from planner.demand import Demand, busy_between
from planner.prices import Price
from planner.telemetry import OVERLAP, Telemetry, held_and_busy


IDLE = "(idle)"
"""Whose the GPU time is that nobody worked in."""
_GRAIN = Decimal("0.000000001")
"""GPU-hours are told to this; what rounding leaves is idle."""


@dataclass(frozen=True)
class Held:
    """How many GPUs were paid for in the time of the history, and how that is known."""

    gpus: float
    source: str


@dataclass(frozen=True)
class Share:
    """GPU-hours of one hour, exact: who used them. ``begin`` is the beginning of the hour, in UTC."""

    begin: datetime
    service: str
    gpu_hours: Decimal


def held(
    stated: float, gpu_uuids: pd.Series[str] | None, telemetry: Telemetry | None, demand: Demand
) -> Held | None:
    """Tell how many GPUs were held: as stated, else as sampled, else as the rows name; None if unknown."""
    if stated > 0:
        return Held(stated, "stated with --held-gpus")
    if telemetry is not None:
        begin = max(telemetry.begin, demand.start.timestamp())
        end = min(telemetry.end, demand.end.timestamp())
        if end - begin >= OVERLAP * demand.span_seconds:
            sampled, _ = held_and_busy(telemetry.within(begin, end))
            return Held(round(sampled, 6), f"telemetry, mean of {telemetry.source}")
    named = 0 if gpu_uuids is None else int(gpu_uuids.dropna().nunique())
    if not named:
        return None
    return Held(float(named), "GPUs that the rows name, taken to be held all the time; name what you pay for with --held-gpus")  # fmt: skip


def shares(demand: Demand, found: Held) -> Iterator[Share]:
    """Divide each hour's GPUs among the services that worked in it and the idle rest.

    The sum over an hour is the GPUs held times the part of the hour that the history covers.
    """
    begin, end = demand.start.timestamp(), demand.end.timestamp()
    first = math.floor(begin / SECONDS_PER_HOUR)
    edges = np.arange(first, math.ceil(end / SECONDS_PER_HOUR) + 1) * float(SECONDS_PER_HOUR)
    covered = np.minimum(edges[1:], end) - np.maximum(edges[:-1], begin)
    provisioned = covered / SECONDS_PER_HOUR * found.gpus
    since = (edges - begin).astype(np.float64)
    worked = [_worked(demand, index, since) for index in range(len(demand.services))]
    total = np.zeros(len(provisioned))
    for at, hours in worked:
        total[at] += hours
    scale = np.minimum(1.0, provisioned / np.maximum(total, 1e-12))
    left = [_exact(gpus) for gpus in provisioned.tolist()]
    for name, (at, hours) in zip(demand.services, worked, strict=True):
        for hour, amount in zip(at.tolist(), (hours * scale[at]).tolist(), strict=True):
            part = min(_exact(amount), left[hour])
            if part > 0:
                left[hour] -= part
                yield Share(_hour(first + hour), name, part)
    for hour, rest in enumerate(left):
        if rest > 0:
            yield Share(_hour(first + hour), IDLE, rest)


def _worked(demand: Demand, service: int, edges: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:  # fmt: skip
    """GPU-hours that a service worked: the hours in which it did, by number, and how much."""
    rows = demand.rows(service)
    arrivals = demand.arrivals[rows]
    ends = arrivals + demand.seconds[rows]
    low = max(0, int(np.searchsorted(edges, arrivals.min(), side="right")) - 1)
    high = min(len(edges) - 1, int(np.searchsorted(edges, ends.max())) + 1)
    busy = busy_between(arrivals, ends, edges[low : high + 1]) / SECONDS_PER_HOUR
    at = np.flatnonzero(busy > 0)
    return at + low, busy[at]


def _exact(hours: float) -> Decimal:
    return Decimal(repr(float(hours))).quantize(_GRAIN)


def _hour(number: int) -> datetime:
    return datetime.fromtimestamp(number * SECONDS_PER_HOUR, UTC)


def block(demand: Demand, found: Held, price: Price, discount: float = 0.0) -> dict[str, Any]:
    """Return the ``actual`` of plan.json: what was spent in the time of the history, and on whom.

    Held GPUs are paid for around the clock, so ``discount`` of the list price is off, as it is of
    what the plan would rent.
    """
    hourly = price.held(discount)
    by_service: dict[str, Decimal] = {}
    for share in shares(demand, found):
        by_service[share.service] = by_service.get(share.service, Decimal(0)) + share.gpu_hours
    total = sum(by_service.values(), Decimal(0))
    idle = by_service.pop(IDLE, Decimal(0))
    ordered = sorted(by_service.items(), key=lambda one: (-one[1], one[0]))
    return {
        "gpus_held": found.gpus,
        "gpus_held_source": found.source,
        "gpu_hours": float(total),
        "cost": float(cents(total * hourly)),
        "idle_gpu_hours": float(idle),
        "idle_ratio": round(float(idle / total), 6) if total else 0.0,
        "idle_cost": float(cents(idle * hourly)),
        "services": [
            {
                "name": name,
                "gpu_hours": float(hours),
                "cost": float(cents(hours * hourly)),
            }
            for name, hours in ordered
        ],
        "price_source": f"{price.provider} {price.instance} {price.region}, {price.currency} {price.price_per_gpu_hour} a GPU-hour as of {price.asof}{_less(discount)}",
    }


def _less(discount: float) -> str:
    return f", less {100 * discount:g} % by plan.discount" if discount else ""
