"""The knobs: one frozen class for each command that has any. Descriptions become the docs."""

from __future__ import annotations

import ipaddress
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from lightmeter.held import Held
from lightmeter.section import Port, Section, Secured
from lightmeter.settings_dashboards import Dashboards
from lightmeter.settings_export import Export
from lightmeter.settings_gateway import Gateway
from lightmeter.settings_grafana import Grafana
from lightmeter.settings_load import Load
from lightmeter.settings_localprom import Localprom
from lightmeter.settings_plan import Plan
from lightmeter.settings_scale import Scale
from lightmeter.settings_up import Up


Guard = Literal["off", "flag", "retry", "reject"]


@lru_cache(maxsize=8)
def networks(text: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    """Read addresses and networks that are separated by commas.

    Raises:
        ValueError: one is neither.
    """
    return tuple(ipaddress.ip_network(word.strip()) for word in text.split(",") if word.strip())


class Serve(Secured, Held):
    """The inference server."""

    service: str = Field(
        "",
        description="Name under which requests are metered and billed; empty means the model's name.",
        max_length=64,
        pattern=r"^[\w.:/-]*$",
    )
    host: str = Field("127.0.0.1", description="Address to listen on.", min_length=1)
    port: Port = Field(7860, description="Port of the API.")
    metrics_port: Port = Field(7861, description="Port of /metrics, served by a thread of its own.")
    data: Path = Field(
        Path("lightmeter-data"), description="Folder for usage history and the tiny model."
    )
    queue: int = Field(
        64, description="Requests that may wait; one more is answered 429.", ge=1, le=100_000
    )
    batch: int = Field(
        8,
        description="Most pictures made in one call of the pipeline; waiting requests of one size, steps, guidance and LoRA ride together, and one that asks for more is made alone.",
        ge=1,
        le=256,
    )
    batch_share: float = Field(
        0.1,
        description="Share of the work that batch-priority requests get while interactive ones wait too.",
        gt=0,
        lt=1,
    )
    max_wait: float = Field(
        0.0,
        description="Longest predicted wait, seconds, with which a request is accepted; beyond it the answer is 429. 0 leaves the bound to the queue's length.",
        ge=0,
        le=86_400,
    )
    wake: bool = Field(
        default=True,
        description="Start a worker for a request that finds none because all were sent away, or the server began with none; off, such a request is answered 503.",
    )
    wake_wait: float = Field(
        120.0,
        description="Longest time, seconds, that a request waits for the worker that is started for it; beyond it, or where starts are known to take longer, the answer is 503. 0 lets nobody wait.",
        ge=0,
        le=86_400,
    )
    keys: Path | None = Field(
        None,
        description="API keys, a TOML file with a table for each tenant; without it anyone may ask.",
    )
    admin_key_file: Path | None = Field(
        None,
        description="File with a key that opens the admin routes, beside those of --keys; without --keys anyone may still ask for pictures.",
    )
    latency_target: float = Field(
        0.0,
        description="Seconds from arrival to answer that tuning aims at; 0 tunes for throughput alone.",
        ge=0,
        le=86_400,
    )
    auto_tune: bool = Field(
        default=False,
        description="Set the batch limit, up to --batch, from measured batches and --latency-target; each change is recorded in DATA/tuning.jsonl.",
    )
    deadline: float = Field(
        300.0,
        description="Seconds after which a request that is not done is answered 504.",
        gt=0,
        le=86_400,
    )
    drain: float = Field(
        25.0,
        description="Seconds to finish accepted requests after SIGTERM; those that would take longer are answered 503.",
        ge=0,
        le=86_400,
    )
    access_log: bool = Field(
        default=False, description="Write a log line for each request for pictures."
    )
    exporter_url: str = Field(
        "",
        description="Address of a GPU exporter's metrics, ours or dcgm-exporter's, like http://localhost:9400/metrics; with it each request's energy is metered.",
        pattern=r"^(https?://\S+)?$",
    )
    silence: float = Field(
        10.0,
        description="Seconds without a sign of life after which a worker is killed and replaced.",
        ge=3,
        le=3600,
    )
    start_timeout: float = Field(
        900.0, description="Seconds that a worker may take to load its model.", gt=0, le=86_400
    )
    steps: int = Field(8, description="Denoise steps where the request names none.", ge=1, le=1000)
    max_steps: int = Field(50, description="Most denoise steps of a request.", ge=1, le=1000)
    max_side: int = Field(2048, description="Greatest width or height, pixels.", ge=16, le=16_384)
    max_images: int = Field(4, description="Most pictures of a request.", ge=1, le=64)
    max_prompt_chars: int = Field(
        8000, description="Longest prompt, characters.", ge=1, le=1_000_000
    )
    max_body_bytes: int = Field(
        1_048_576,
        description="Largest request body; a larger one is answered 413.",
        ge=1024,
        le=1_073_741_824,
    )
    public_url: str = Field(
        "",
        description="Address under which clients reach this server, for the URLs in answers; empty takes it from each request.",
        pattern=r"^(https?://[\w.:\[\]-]+(/[\w.~/-]*)?)?$",
    )
    trusted_proxy: str = Field(
        "",
        description="Addresses or networks of reverse proxies, separated by commas, or '*'; their X-Forwarded-Host, -Proto, -Prefix and -For headers are believed.",
    )
    store: str = Field(
        "",
        description="Where pictures asked for as URLs are kept: a folder, or an fsspec URL (s3://bucket/prefix) that replicas share; empty means DATA/images.",
    )
    store_bytes: int = Field(
        1_073_741_824, description="Most bytes in the store; the oldest go first.", ge=1, le=2**60
    )
    store_seconds: float = Field(
        3600.0, description="Seconds that a picture stays in the store.", gt=0, le=31_536_000
    )
    replica: str = Field(
        "",
        description="Name of this server among its replicas, part of its job ids; empty means the host's name.",
        pattern=r"^([a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?)?$",
    )
    jobs: int = Field(
        1000, description="Finished jobs that are kept for their clients.", ge=1, le=1_000_000
    )
    jobs_bytes: int = Field(
        67_108_864,
        description="Most bytes of job results in memory; larger ones lie in the store.",
        ge=0,
        le=2**40,
    )
    jobs_seconds: float = Field(
        3600.0, description="Seconds that a finished job is kept.", gt=0, le=31_536_000
    )
    feedback_seconds: float = Field(
        5.0,
        description="Longest search of the history for the request that a rating names.",
        gt=0,
        le=300,
    )
    gpu_hour_price: Decimal = Field(
        Decimal(0),
        description="Price of one GPU for an hour; with it each answer says what it cost. 0 means unknown.",
        ge=0,
        le=100_000,
    )
    currency: str = Field(
        "USD", description="Currency of the price, as ISO 4217 writes it.", pattern=r"^[A-Z]{3}$"
    )
    guard: Guard = Field(
        "flag",
        description="What to do with broken pictures: off does not look; flag counts and marks them; retry also makes a black or NaN one once more; reject answers 502 instead of delivering it.",
    )
    scorer: Path | None = Field(
        None,
        description="A folder with a CLIP model saved with save_pretrained, that scores some pictures against their prompts; 'sharpness' needs no model, for trying it out.",
    )
    scorer_share: float = Field(
        0.02, description="Share of the pictures that the scorer is given.", ge=0, le=1
    )
    seal_rows: int = Field(
        5000, description="Rows after which the journal is sealed into Parquet.", ge=1, le=1_000_000
    )
    fsync: bool = Field(
        default=False,
        description="Flush the journal to the disk before each answer, against loss of power.",
    )

    @field_validator("trusted_proxy")
    @classmethod
    def _addresses(cls, value: str) -> str:
        """Refuse what is no address, at the start and not at the first request."""
        if value != "*":
            networks(value)
        return value


class Log(Section):
    """What every command writes to stderr."""

    format: Literal["text", "json"] = Field(
        "text", description="Log lines for people (text), or one JSON object each (json)."
    )


SECTIONS: dict[str, type[Section]] = {
    "serve": Serve,
    "up": Up,
    "load": Load,
    "export": Export,
    "scale": Scale,
    "localprom": Localprom,
    "grafana": Grafana,
    "dashboards": Dashboards,
    "gateway": Gateway,
    "plan": Plan,
    "log": Log,
}
