"""The knobs of the embedded metrics store."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator

from lightmeter.section import Port, Seconds, Secured, targets


class Localprom(Secured):
    """The embedded metrics store."""

    host: str = Field("127.0.0.1", description="Address to listen on.", min_length=1)
    port: Port = Field(9090, description="Port of the live page and of Prometheus's HTTP API.")
    targets: str = Field(
        "server=http://127.0.0.1:7861/metrics,exporter=http://127.0.0.1:9400/metrics,scaler=http://127.0.0.1:9402/metrics",
        description="Pages of metrics, JOB=URL each, separated by commas; the store's own comes on top.",
    )
    interval: Seconds = Field(5.0, description="Time between two scrapes.", ge=1, le=300)
    rule_interval: Seconds = Field(
        15.0, description="Time between two evaluations of the rules.", ge=1, le=300
    )
    retention: Seconds = Field(
        259_200.0, description="How long samples are kept.", ge=600, le=31_536_000
    )
    most_series: int = Field(
        50_000, description="Series that are kept; new ones beyond are refused.", ge=100, le=10**7
    )
    slo: Path | None = Field(
        None, description="Objectives of the rules; without it slo.toml, where there is one."
    )
    alertmanager: str = Field(
        "", description="Alertmanager that is told of alerts.", pattern=r"^(https?://\S+)?$"
    )
    scaler: str = Field(
        "",
        description="Address of `lightmeter scale`, which is told of the alerts that concern scaling, and whose decisions the page shows.",
        pattern=r"^(https?://\S+)?$",
    )
    scaler_token_file: Path | None = Field(
        None,
        description="File with the token for that scaler, as its scale.token_file has it; the first, where there are several. It is read again for each message.",
    )
    places: str = Field(
        "",
        description="Other pages that the live page links to, NAME=URL each, separated by commas.",
    )
    data: Path = Field(
        Path("lightmeter-data"),
        description="Folder of the samples and rules, under `metrics/`.",
    )

    @field_validator("targets", "places")
    @classmethod
    def _readable(cls, value: str) -> str:
        targets(value)
        return value
