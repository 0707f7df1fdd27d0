"""What every section of settings is made of."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

from lightmeter.errors import SettingError
from lightmeter.units import parse_duration


Port = Annotated[int, Field(ge=0, le=65535)]


def _seconds(value: Any) -> Any:
    """Let a time be written like 30s or 5m."""
    try:
        return parse_duration(value) if isinstance(value, str) else value
    except SettingError as error:
        raise ValueError(str(error)) from error


Seconds = Annotated[float, BeforeValidator(_seconds)]
"""A time, as a number of seconds or like 30s, 5m."""


class Section(BaseModel):
    """A frozen group of settings; an unknown key is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @field_validator("*", mode="before")
    @classmethod
    def _no_boolean(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse ``port = true``, which would count as 1."""
        kind = cls.model_fields[str(info.field_name)].annotation
        if isinstance(value, bool) and kind is not bool:
            raise ValueError("must not be true or false")
        return value
