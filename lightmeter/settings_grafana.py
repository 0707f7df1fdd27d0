"""The knobs of publishing dashboards."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from lightmeter.section import Seconds, Section


class Grafana(Section):
    """The Grafana that dashboards are published to."""

    url: str = Field(
        "http://127.0.0.1:3000",
        description="Address of Grafana, with its path prefix if it has one.",
        pattern=r"^https?://",
    )
    token_file: Path | None = Field(
        None,
        description="File with the token of a service account that may edit; without it the environment's GRAFANA_TOKEN is taken.",
    )
    ca_file: Path | None = Field(
        None,
        description="Certificates that Grafana's own is checked with, instead of the system's.",
    )
    folder: str = Field(
        "Lightmeter", description="Folder that is made for the boards.", min_length=1
    )
    prometheus: str = Field(
        "",
        description="Prometheus as Grafana reaches it: a data source is made for it. Empty leaves data sources alone.",
        pattern=r"^(https?://.*)?$",
    )
    timeout: Seconds = Field(10.0, description="Longest wait for one answer.", gt=0, le=600)
