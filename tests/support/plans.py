"""Demands, prices, terms and options made by hand, and the plan of a frame."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from lightmeter.replay import Floats
from lightmeter.rows import UsageRow
from lightmeter.settings_plan import Plan
from planner import certainty, demand, options, plan, prices
from planner.certainty import Draws
from planner.demand import Demand
from planner.options import Option, OptionKind, Terms
from planner.prices import Price
from planner.slo import Slo
from support import rows


def price(**changes: Any) -> Price:
    """Make a GPU at USD 2 an hour, billed by the second."""
    values: dict[str, Any] = {
        "sku": "test-gpu",
        "provider": "test",
        "region": "here",
        "instance": "one",
        "gpu": "T1",
        "vram_gib": 24.0,
        "price_per_gpu_hour": Decimal(2),
        "currency": "USD",
        "granularity_seconds": 1.0,
        "minimum_seconds": 0.0,
        "asof": "2026-10-01",
        "source": "made up",
        "licence": "none",
    }
    return Price(**(values | changes))


def terms(wait: float = 30.0, attainment: float = 0.95, **changes: Any) -> Terms:
    """Make terms with a month of 720 hours."""
    values: dict[str, Any] = {
        "slo": Slo(wait, attainment),
        "price": price(),
        "month_hours": 720.0,
        "start_seconds": 180.0,
        "swap_seconds": 20.0,
        "max_gpus": 64,
    }
    return Terms(**(values | changes))


def demand_of(usage: Iterable[UsageRow], days: float | None = None) -> Demand:
    """Build the demand of rows, in a window of so many days from `rows.START`, or without one."""
    until = None if days is None else rows.START + timedelta(days=days)
    start = None if days is None else rows.START
    return demand.from_frame(rows.frame(usage), (start, until))


def draws_of(found: Demand, resamples: int = 200, seed: int = 1) -> Draws:
    """Draw the resamples of a demand."""
    return certainty.draw(found, resamples=resamples, seed=seed)


def option(
    kind: OptionKind, billed: Floats, *, waits: Floats | None = None, meets: bool = True
) -> Option:
    """Make an option that is billed these GPU-hours in each block."""
    waits = np.zeros(10) if waits is None else waits
    place = options.Placement(("a",), 1, options.p95(waits))
    return Option(
        kind, 1, (place,), waits, billed, meets_slo=meets, attainment=1.0, attainment_ci=(1.0, 1.0)
    )


def document(usage: Iterable[UsageRow] | pd.DataFrame, **settings: Any) -> dict[str, Any]:
    """Plan rows with the built-in prices, as ``lightmeter plan`` does; ``month`` may be named, and ``now``.

    Inputs are not swept unless ``sweep_points`` says so.
    """
    settings = {"sweep_points": 0} | settings
    month, now = settings.pop("month", None), settings.pop("now", None)
    settings.setdefault("policy", "")  # it takes a second
    frame = usage if isinstance(usage, pd.DataFrame) else rows.frame(usage)
    extent = frame["arrived_at"].min(), frame["arrived_at"].max()
    return plan.make(
        frame,
        Plan(**settings),
        prices.builtin(),
        month=month,
        window=demand.covered(month, extent) if month else (None, None),
        now=now,
        generated_from={"history": "test", "rows": len(frame), "notes": []},
        tell=lambda _: None,
    )
