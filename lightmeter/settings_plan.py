"""The knobs of the cost report."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from lightmeter.section import Section


class Plan(Section):
    """The cost report."""

    slo: str = Field(
        "p95_wait=30s,attainment=0.95",
        description="Objective: the 95th percentile of the wait before a GPU starts the request, and the share of requests within it.",
    )
    sku: str = Field("aws-g6e-l40s", description="Row of the price table to plan with.")
    prices: Path | None = Field(
        None,
        description="A CSV with the columns of planner/data/prices.csv, or SkyPilot's vms.csv; its rows are added to the built-in ones and win over them.",
    )
    start_seconds: float = Field(
        180.0, description="On-demand: from ordering a GPU to its first picture.", ge=0, le=86_400
    )
    swap_seconds: float = Field(
        22.7,
        description="Shared pool: time to load another service's model onto a GPU.",
        ge=0,
        le=86_400,
    )
    max_gpus: int = Field(512, description="Most GPUs that an option may use.", ge=1, le=10_000)
    resamples: int = Field(
        1000, description="Bootstrap resamples behind each interval.", ge=20, le=10_000
    )
    keep_ramp_up: bool = Field(
        default=False,
        description="Plan on the first days of a service too, when hardly anybody used it yet.",
    )
    sweep_points: int = Field(
        5,
        description="Values tried of each input that was not measured, over its range; 0 tries none.",
        ge=0,
        le=50,
    )
    seed: int = Field(
        1, description="Seed of the bootstrap, so that a report can be made again.", ge=0
    )
