"""The gateway's knobs."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from pydantic import Field, field_validator

from lightmeter.section import Port, Seconds, Secured


class Gateway(Secured):
    """The gateway."""

    upstream: str = Field(
        "",
        description="Servers behind it, separated by commas: addresses like http://10.0.0.7:7860, and dns:NAME:PORT for every address that a name has, as a headless service's.",
    )
    host: str = Field("127.0.0.1", description="Address to listen on.", min_length=1)
    port: Port = Field(7880, description="Port of the API.")
    metrics_port: Port = Field(7881, description="Port of /metrics, served by a thread of its own.")
    service: str = Field(
        "gateway",
        description="Service under which the demand is metered; another name than the servers', so that nothing is counted twice.",
        min_length=1,
        max_length=64,
        pattern=r"^[\w.:/-]+$",
    )
    wake: str = Field(
        "",
        description="Addresses of scalers, separated by commas, that are asked to start a replica while somebody waits and none is ready.",
    )
    wake_token_file: Path | None = Field(
        None, description="File with the token for the scaler, as its scale.token_file has it."
    )
    ca_file: Path | None = Field(
        None,
        description="Authority (PEM) that is believed beside the machine's, where scalers or servers have certificates of their own house.",
    )
    wake_wait: Seconds = Field(
        240.0,
        description="Longest time that a request waits while no replica is ready; then it is answered 503.",
        ge=0,
        le=86_400,
    )
    queue: int = Field(
        256, description="Requests that may wait; one more is answered 429.", ge=1, le=100_000
    )
    in_flight: int = Field(
        16,
        description="Most requests at a replica at the same time, for each of its workers; twice serve.batch keeps its batches full.",
        ge=1,
        le=10_000,
    )
    max_wait: Seconds = Field(
        0.0,
        description="Longest predicted wait with which a request is accepted; beyond it the answer is 429. 0 leaves the bound to the queue's length.",
        ge=0,
        le=86_400,
    )
    batch_share: float = Field(
        0.1,
        description="Share of the work that batch-priority requests get while interactive ones wait too.",
        gt=0,
        lt=1,
    )
    deadline: Seconds = Field(
        330.0,
        description="Time after which a request that is not answered gets 504; longer than serve.deadline.",
        gt=0,
        le=86_400,
    )
    keys: Path | None = Field(
        None,
        description="API keys, the servers' own file; without it whoever reaches the gateway can wake a replica, and the servers alone look at keys.",
    )
    steps: int = Field(
        8, description="Denoise steps that a request is taken to ask for where it names none.", ge=1
    )
    side: int = Field(
        1024,
        description="Width and height, pixels, that a request is taken to ask for where it names no size.",
        ge=16,
        le=16_384,
    )
    probe: Seconds = Field(
        1.0,
        description="Time between two looks at a replica's /readyz, and at a name's addresses.",
        ge=0.1,
        le=60,
    )
    drain: Seconds = Field(
        25.0,
        description="Time to finish accepted requests after SIGTERM; those left are answered 503.",
        ge=0,
        le=86_400,
    )
    max_body_bytes: int = Field(
        1_048_576,
        description="Largest request body; a larger one is answered 413.",
        ge=1024,
        le=1_073_741_824,
    )
    trusted_proxy: str = Field(
        "",
        description="Addresses or networks of reverse proxies before it, separated by commas, or '*'; their X-Forwarded headers are passed on, others' are replaced.",
    )
    access_log: bool = Field(
        default=False,
        description="Write a log line for each request for pictures, with the replica that answered.",
    )

    @field_validator("trusted_proxy")
    @classmethod
    def _addresses(cls, value: str) -> str:
        """Refuse what is no address, at the start and not at the first request."""
        for word in value.split(",") if value.strip("* ") else ():
            ipaddress.ip_network(word.strip())
        return value
