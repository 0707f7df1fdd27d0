"""What every section of settings is made of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, NamedTuple

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


class Secured(Section):
    """What listens, and may do so behind TLS."""

    tls_cert_file: Path | None = Field(
        None,
        description="Certificate (PEM) of what listens; with it all of its ports speak TLS only. It is read again when it changes.",
    )
    tls_key_file: Path | None = Field(None, description="The certificate's key (PEM).")
    allowed_hosts: str = Field(
        "",
        description="Names, separated by commas, under which what listens on loopback may be asked, beside addresses and names without a dot; * means any. A page of another site could lead its own name here.",
    )


class Asked(NamedTuple):
    """A page and its name; of one of metrics that is the label ``job`` of all that stands on it."""

    name: str
    url: str


def targets(text: str) -> list[Asked]:
    """Read ``NAME=URL,NAME=URL``.

    Raises:
        ValueError: naming the part that is none.
    """
    found = []
    for word in filter(None, (part.strip() for part in text.split(","))):
        name, _, url = word.partition("=")
        if not name or not url.startswith(("http://", "https://")):
            raise ValueError(f"{word!r} is no target; write NAME=http://HOST:PORT/..., several with commas")  # fmt: skip
        found.append(Asked(name, url))
    return found
