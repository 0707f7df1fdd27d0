"""Usage rows and history folders made by hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from lightmeter import history, tables
from lightmeter.rows import UsageRow


START = datetime(2026, 10, 1, tzinfo=UTC)
"""Second 0 of `row`: the first instant of a month."""
DAY = 86_400.0


def row(
    at: float, seconds: float | None = 10.0, service: str | None = "a", **more: Any
) -> UsageRow:
    """Make a finished request that arrived ``at`` seconds after `START`."""
    values = {"request_id": f"{service}-{at}", "outcome": "ok", "service_seconds": seconds}
    return UsageRow(arrived_at=START + timedelta(seconds=at), service=service, **(values | more))


def every(
    gap: float, count: int, *, seconds: float = 10.0, service: str = "a", first: float = 0.0
) -> list[UsageRow]:
    """Make ``count`` requests, one every ``gap`` seconds."""
    return [row(first + gap * index, seconds, service) for index in range(count)]


def frame(usage: Iterable[UsageRow]) -> pd.DataFrame:
    """Turn rows into the frame that a history would give, ordered by arrival."""
    ordered = sorted(usage, key=lambda one: one.arrived_at)
    whole: pd.DataFrame = tables.table_of(ordered).to_pandas()
    return whole


def folder(path: Path, usage: Sequence[UsageRow], stem: str = "test") -> Path:
    """Write rows as a history folder."""
    history.write(tables.table_of(usage), path, stem)
    return path
