"""The live page's knobs."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator

from lightmeter.section import Port, Seconds, Secured, targets


class Dashboards(Secured):
    """The live page."""

    host: str = Field("127.0.0.1", description="Address to listen on.", min_length=1)
    port: Port = Field(9090, description="Port of the page and of the questions behind it.")
    prometheus: str = Field(
        "",
        description="Prometheus, or what speaks its API, whose data is shown.",
        pattern=r"^(https?://.*)?$",
    )
    bearer_file: Path | None = Field(None, description="File with the token for that Prometheus.")
    ca_file: Path | None = Field(
        None,
        description="Authority (PEM) that is believed beside the public ones, where Prometheus or the scaler has a certificate of its own house.",
    )
    scrape_interval: Seconds = Field(
        15.0,
        description="How often that Prometheus scrapes; rates are taken over four scrapes at least.",
        gt=0,
        le=3600,
    )
    scaler: str = Field(
        "",
        description="Address of `lightmeter scale`, whose decisions are shown with their reasons.",
        pattern=r"^(https?://.*)?$",
    )
    report: Path | None = Field(None, description="Folder of the cost report to show.")
    places: str = Field(
        "",
        description="Other pages that the live page links to, NAME=URL each, separated by commas.",
    )
    trace_url: str = Field(
        "",
        description="Where a trace is shown; {trace_id} in it stands for its id. Dots on latency panels lead there.",
        pattern=r"^(https?://.*\{trace_id\}.*)?$",
    )

    @field_validator("places")
    @classmethod
    def _readable(cls, value: str) -> str:
        targets(value)
        return value
