"""The limits that may be changed while the server runs: the emergency brake."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from lightmeter.settings import Serve


_log = logging.getLogger(__name__)


class LimitsChange(BaseModel):
    """Body of ``PUT /admin/limits``; what it does not name stays."""

    model_config = ConfigDict(extra="forbid", strict=True)

    concurrency: Annotated[int, Field(ge=0, le=64)] | None = Field(
        None, description="Workers that may work at the same time; 0 pauses."
    )
    queue: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        None, description="Requests that may wait."
    )
    batch: Annotated[int, Field(ge=1, le=256)] | None = Field(
        None, description="Most pictures made in one call."
    )
    max_wait: Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)] | None = Field(
        None, description="Longest predicted wait of an accepted request, seconds; 0 is no bound."
    )
    wake: bool | None = Field(
        None, description="Whether a request that finds no worker has one started."
    )


@dataclass
class Limits:
    """What is allowed right now. ``max_wait`` is seconds, 0 for no bound."""

    concurrency: int
    queue: int
    batch: int
    max_wait: float
    wake: bool = True

    @classmethod
    def of(cls, settings: Serve) -> Limits:
        """Start from the settings; every worker may work."""
        return cls(64, settings.queue, settings.batch, settings.max_wait, settings.wake)

    def change(self, wanted: LimitsChange, who: str | None) -> None:
        """Change what is named, and log it."""
        for name, value in wanted.model_dump(exclude_none=True).items():
            _log.warning("%s set %s from %s to %s", who, name, getattr(self, name), value)
            setattr(self, name, value)
