"""The knobs of the whole on one machine."""

from __future__ import annotations

from pydantic import Field

from lightmeter.section import Section


class Up(Section):
    """Everything on this machine."""

    load: float = Field(
        1.0, description="Requests per second of the light load; 0 drives none.", ge=0, le=1000
    )
    duration: float = Field(
        0.0,
        description="Seconds to run; 0 means until Ctrl-C, or 60 s where there is no terminal.",
        ge=0,
        le=2_592_000,
    )
    advisory: bool = Field(
        default=False,
        description="Let the scaler write down what it would do with the workers, and do nothing.",
    )
    prometheus: str = Field(
        "",
        description="A Prometheus, or what speaks its API, that the scaler reads instead of the embedded store, which then is not started.",
        pattern=r"^(https?://\S+)?$",
    )
