"""The exporter's knobs."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from lightmeter.catalog import HOST_GROUPS
from lightmeter.errors import nearest
from lightmeter.section import Port, Seconds, Section


class Export(Section):
    """The GPU and host exporter."""

    host: str = Field("127.0.0.1", description="Address to listen on.", min_length=1)
    port: Port = Field(9400, description="Port of /metrics.")
    hz: float = Field(20.0, description="Looks at each GPU's memory in a second.", ge=1, le=100)
    window: Seconds = Field(
        60.0, description="Length of the sliding window behind memory peaks.", ge=1, le=3600
    )
    gpus: int = Field(
        0,
        description="GPUs that this machine should have, or that a demo makes up; 0 is as many as were ever seen, or 8.",
        ge=0,
        le=1024,
    )
    hostname_label: Literal["Hostname", "hostname", "both"] = Field(
        "Hostname",
        description="Label that carries this machine's name: dcgm-exporter up to 4.8.2 says Hostname, later ones hostname.",
    )
    hostname: str = Field(
        "",
        description="This machine's name; empty asks the system. In Kubernetes, the node's (spec.nodeName).",
        max_length=253,
    )
    host_metrics: str = Field(
        ",".join(HOST_GROUPS),
        description="Groups of host metrics, under node_exporter's names, separated by commas; empty switches all off.",
    )
    attribution: bool = Field(
        default=True, description="Tell which container or job uses each GPU."
    )
    host_root: Path = Field(
        Path("/"),
        description="Where the machine's own file system is seen from here; in a container, where it is mounted.",
    )
    pod_resources: Path | None = Field(
        None,
        description="The kubelet's socket that tells who holds which device (needs grpcio), /var/lib/kubelet/pod-resources/kubelet.sock; log folders and cgroups do without it.",
    )
    dcgm: str = Field(
        "",
        description="Read the GPUs from another exporter's text, such as http://localhost:9401/metrics of dcgm-exporter, instead of the driver.",
        pattern=r"^(https?://[^\s/?#]+(/[^\s#]*)?)?$",
    )
    demo: bool = Field(
        default=False, description="Made-up GPUs, labelled as such, for a machine without one."
    )
    record: Path | None = Field(None, description="File that readings are written to as well.")
    replay: Path | None = Field(
        None, description="File of recorded readings, shown again instead of the driver's."
    )
    web_config: Path | None = Field(
        None,
        description="TLS, client certificates and passwords: a YAML file in the schema of Prometheus' exporter-toolkit, read again when it changes.",
    )
    connections: int = Field(
        64, description="Most connections at a time; one more is answered 503.", ge=2, le=4096
    )
    max_series: int = Field(
        20_000,
        description="Most series on a page, at most half of them of containers; those left out are counted.",
        ge=100,
        le=1_000_000,
    )
    gzip: bool = Field(
        default=False,
        description="Compress the page where the scraper can read it: less network, more CPU.",
    )

    @field_validator("host_metrics")
    @classmethod
    def _groups(cls, value: str) -> str:
        for group in filter(None, value.split(",")):
            if group.strip() not in HOST_GROUPS:
                known = ", ".join(HOST_GROUPS)
                raise ValueError(f"{group!r} is no group{nearest(group, HOST_GROUPS)} ({known})")
        return value
