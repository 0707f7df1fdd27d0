"""The scaler's knobs."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from lightmeter.section import Port, Seconds, Secured


class Scale(Secured):
    """The scaler."""

    host: str = Field("127.0.0.1", description="Address to listen on.", min_length=1)
    port: Port = Field(
        9402, description="Port of /v1/alerts, /v1/wake, /v1/decisions, /v1/freeze and /metrics."
    )
    prometheus: str = Field(
        "http://127.0.0.1:9090",
        description="Prometheus, or what speaks its API, that knows the service.",
        pattern=r"^https?://",
    )
    bearer_file: Path | None = Field(None, description="File with the token for that Prometheus.")
    ca_file: Path | None = Field(
        None,
        description="Authority (PEM) that is believed beside the public ones, where Prometheus, a pool or a webhook has a certificate of its own house.",
    )
    service: str = Field(
        "zimage",
        description="The service that is scaled, as its metrics name it.",
        min_length=1,
        pattern=r"^[^\"\\]+$",
    )
    demand: str = Field(
        "",
        description="Where a gateway stands in front of the servers: its service, whose requests and queue are the demand. Empty takes the servers' own; the two are never added up.",
        pattern=r"^[^\"\\]*$",
    )
    target: str = Field(
        "null",
        description="What is scaled: deployment:NAMESPACE/NAME, statefulset:NAMESPACE/NAME, pool:URL (the workers of a lightmeter server), webhook:URL, command:PROGRAM, or null.",
    )
    secret_file: Path | None = Field(
        None, description="File with the admin's key of a pool, or the secret that signs a webhook."
    )
    token_file: Path | None = Field(
        None,
        description="File with the tokens of those who may post alerts, wake and freeze; needed where it does not listen on loopback.",
    )
    client_ca_file: Path | None = Field(
        None,
        description="Authority (PEM) whose clients may post alerts and freeze without a token; KEDA must show a certificate of it.",
    )
    keda_port: Port | None = Field(
        None, description="Port of KEDA's external scaler, gRPC; without it there is none."
    )
    act: bool = Field(
        default=False, description="Act on decisions; without it they are only written down."
    )
    interval: Seconds = Field(15.0, description="Time between two looks.", ge=1, le=300)
    min: int = Field(0, description="Fewest replicas.", ge=0, le=10_000)
    max: int = Field(8, description="Most replicas.", ge=1, le=10_000)
    wait: Seconds = Field(30.0, description="The longest wait that is no violation.", gt=0)
    violation_price: float = Field(
        900.0,
        description="What a violation is worth, in GPU-seconds: the one knob between cost and waiting.",
        ge=0,
    )
    violation_target: float = Field(
        0.0,
        description="Share of violations that the price is moved to keep; 0 leaves the price as it is.",
        ge=0,
        lt=1,
    )
    cold_start: Seconds = Field(
        180.0, description="What a start takes, as long as none was measured.", gt=0
    )
    turn_price: float = Field(
        400.0,
        description="What it is worth, in GPU-seconds, not to let a replica go and order it again: more is fewer changes for more GPU time.",
        ge=0,
    )
    hold_least: Seconds = Field(
        60.0, description="The shortest hold of a replica that has fallen idle.", ge=0, le=86_400
    )
    short_window: Seconds = Field(
        120.0, description="The shorter of the two windows of the arrival rate.", ge=5, le=3600
    )
    long_window: Seconds = Field(
        900.0, description="The longer of the two windows of the arrival rate.", ge=5, le=86_400
    )
    max_age: Seconds = Field(
        60.0, description="Beyond it a reading is stale: nothing is scaled down.", gt=0
    )
    stale_hold: Seconds = Field(
        900.0,
        description="How long the replicas are held without readings; then there are at least safe_floor.",
        ge=0,
    )
    safe_floor: int = Field(
        1, description="Replicas that there are at least when nothing is known.", ge=0
    )
    data: Path = Field(
        Path("lightmeter-data"),
        description="Folder of the decisions and the lease, under `scale/`.",
    )
