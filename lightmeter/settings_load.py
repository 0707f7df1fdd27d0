"""The knobs of the load generator."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from lightmeter.catalog import Priority
from lightmeter.section import Seconds, Section


class Load(Section):
    """The load generator."""

    url: str = Field(
        "http://127.0.0.1:7860",
        description="Address of the server, of its /v1, or of an images endpoint.",
        min_length=1,
    )
    model: str = Field("", description="Name of the model to ask for; empty names none.")
    concurrency: int = Field(
        0,
        description="Closed loop: clients that each ask again as soon as they are answered. 1 where no load is named.",
        ge=0,
        le=10_000,
    )
    rps: float = Field(
        0.0,
        description="Open loop: requests a second, sent when they are due whatever became of those before.",
        ge=0,
        le=10_000,
    )
    arrivals: Literal["poisson", "uniform"] = Field(
        "poisson", description="Open loop: at random, as from many people, or at even distances."
    )
    speed: float = Field(
        1.0, description="Trace: let it come so many times as fast.", gt=0, le=1_000_000
    )
    duration: Seconds = Field(
        0.0,
        description="Time to send for, after the warm-up, like 30s or 5m; 0 means 30 s, or until --requests or the trace are done.",
        ge=0,
        le=2_592_000,
    )
    requests: int = Field(
        0, description="Requests to send, after the warm-up; 0 is no limit.", ge=0, le=100_000_000
    )
    warmup: str = Field(
        "0",
        description="What is sent first and left out of the results: requests, like 10, or a time, like 5s.",
    )
    n: int = Field(1, description="Pictures to ask for in each request.", ge=1, le=1000)
    priority: Priority | None = Field(None, description="Priority to ask for; none names none.")
    batch_share: float | None = Field(
        None,
        description="Share of the requests with batch priority, the others interactive; none names no priority.",
        ge=0,
        le=1,
    )
    connections: int = Field(
        512,
        description="Open loop: most requests under way; one that is due beyond is not sent, and counted.",
        ge=1,
        le=100_000,
    )
    timeout: Seconds = Field(
        600.0, description="Time that an answer may take, like 30s or 5m.", gt=0, le=86_400
    )
    retry: bool = Field(
        default=False,
        description="Send a refused request once more, after the seconds that Retry-After asks for.",
    )
    seed: int = Field(
        1, description="Seed of arrivals, shapes and prompts: the same seed asks the same.", ge=0
    )
    picture_seeds: bool = Field(
        default=False,
        description="Give each request a seed of its own, an extension of lightmeter, so that no two are the same.",
    )
    api_key_file: Path | None = Field(
        None,
        description="File with the API key; LIGHTMETER_LOAD_API_KEY may hold the key itself.",
    )
    gpu: str = Field(
        "",
        description="GPU of the server, like 'H200' or 'RTX 4090': sets what was measured against the physical limit of Z-Image on it.",
    )
    gpus: int = Field(1, description="GPUs of the server.", ge=1, le=100_000)
