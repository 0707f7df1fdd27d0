"""The knobs of the cost report."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from lightmeter.section import Section


class Plan(Section):
    """The cost report."""

    slo: str = Field(
        "p95_wait=30s,attainment=0.95",
        description="Objective: the 95th percentile of the wait before a GPU starts the request, and the share of requests within it.",
    )
    language: Literal["en", "zh"] = Field(
        "en",
        description="Language of the report's page, Markdown and workbook: English or Chinese.",
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
    wake_seconds: float | None = Field(
        6.0,
        description="Shared pool with sleeping models: time to wake one whose weights are in the host's memory; the slow end of what vLLM publishes of its sleep mode.",
        ge=0,
        le=86_400,
    )
    services: Path | None = Field(
        None,
        description="A TOML file of what is known of the services besides their history: memory, speeds, interference, starts, objectives.",
    )
    other_skus: str = Field(
        "",
        description="Further rows of the price table that services may be put on, with commas between; in one currency.",
    )
    on_demand: str = Field(
        "",
        description="Further rows of the price table that GPUs are started on, with commas between; NAME=20s states a row's own time to start.",
    )
    discount: float = Field(
        0.0,
        description="Share off the price of a GPU that is rented around the clock; providers' committed-use contracts give 0.3 to 0.55.",
        ge=0,
        lt=1,
    )
    headroom: float = Field(
        0.1,
        description="Share of a GPU's memory that is kept free where services share it.",
        ge=0,
        lt=1,
    )
    interference: float = Field(
        0.095,
        description="Share of a GPU's speed that is lost while two or more services work on it at once: measure yours with 'lightmeter load', 0 to 0.2 is usual. The default is the loss that the first founding article states for five pods on a card.",
        ge=0,
        lt=1,
    )
    mps_interference: float = Field(
        0.075,
        description="The same under MPS: two processes of a language model on an A100 lost 7.5 % of their throughput in a published case.",
        ge=0,
        lt=1,
    )
    policy: str = Field(
        "recommended",
        description="Scaling policy that is simulated on demand, one of those of 'lightmeter simulate'; empty for none. Long histories of many services are not simulated.",
    )
    max_gpus: int = Field(512, description="Most GPUs that an option may use.", ge=1, le=10_000)
    resamples: int = Field(
        1000, description="Bootstrap resamples behind each interval.", ge=20, le=10_000
    )
    keep_ramp_up: bool = Field(
        default=False,
        description="Plan on the first days of a service too, when hardly anybody used it yet.",
    )
    calibration_limit: float = Field(
        0.3,
        description="Most that the predicted 95th percentile of the waits under the present set-up may be off the observed one, as a share of the largest of both and the objective's limit; past it nothing is recommended.",
        gt=0,
        le=10,
    )
    next_month: bool = Field(
        default=False,
        description="Plan for the load that is forecast for the coming 30 days, where the forecast is good enough.",
    )
    previous: Path | None = Field(
        None,
        description="The plan.json of the month before: what has changed since, and whether its saving came.",
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
    held_gpus: float = Field(
        0.0,
        description="GPUs that were paid for in the time of the history, for what was really spent; 0: as many as the telemetry or the rows name.",
        ge=0,
        le=1_000_000,
    )
    account: str = Field(
        "lightmeter",
        description="BillingAccountId of the FOCUS rows.",
        min_length=1,
        max_length=200,
    )
