"""A web configuration file in the schema of Prometheus' exporter-toolkit.

https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from lightmeter.errors import WebConfigError, explain, nearest
from lightmeter.section import Seconds


MAX_BYTES = 1_048_576
_BCRYPT = re.compile(r"\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}")
_Version = Literal["TLS10", "TLS11", "TLS12", "TLS13"]
_Policy = Literal[
    "",
    "NoClientCert",
    "RequestClientCert",
    "RequireAnyClientCert",
    "RequireClientCert",
    "VerifyClientCertIfGiven",
    "RequireAndVerifyClientCert",
]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Tls(_Part):
    """``tls_server_config``. Files are relative to the configuration's folder."""

    cert: str = ""
    key: str = ""
    client_ca: str = ""
    cert_file: str = ""
    key_file: str = ""
    client_ca_file: str = ""
    client_auth_type: _Policy = ""
    client_allowed_sans: list[str] | None = None
    min_version: _Version = "TLS12"
    max_version: _Version = "TLS13"
    cipher_suites: list[str] = []
    prefer_server_cipher_suites: bool = True
    curve_preferences: list[Literal["CurveP256", "CurveP384", "CurveP521", "X25519"]] = []

    @property
    def files(self) -> tuple[str, ...]:
        """The files that it names."""
        return tuple(filter(None, (self.cert_file, self.key_file, self.client_ca_file)))


class Headers(_Part):
    """``http_server_config.headers``; what is empty is not sent."""

    content_security_policy: str = Field("", alias="Content-Security-Policy")
    x_frame_options: str = Field("", alias="X-Frame-Options")
    x_content_type_options: str = Field("", alias="X-Content-Type-Options")
    x_xss_protection: str = Field("", alias="X-XSS-Protection")
    strict_transport_security: str = Field("", alias="Strict-Transport-Security")

    @field_validator("*")
    @classmethod
    def _one_line(cls, value: str) -> str:
        if not value.isprintable() or not value.isascii():
            raise ValueError("must be one line of ASCII")
        return value


class Http(_Part):
    """``http_server_config``. HTTP/2 is never spoken here, and no scraper insists on it."""

    http2: bool = True
    headers: Headers = Field(default_factory=lambda: Headers.model_validate({}))


class RateLimit(_Part):
    """``rate_limit``: seconds between two requests beyond a burst of so many; 0 is no limit."""

    interval: Seconds = Field(0.0, ge=0, strict=False)
    burst: int = Field(0, ge=0)


class Content(_Part):
    """The file."""

    tls_server_config: Tls | None = None
    http_server_config: Http = Field(default_factory=lambda: Http.model_validate({}))
    basic_auth_users: dict[str, str] = {}
    rate_limit: RateLimit = Field(default_factory=lambda: RateLimit.model_validate({}))

    @field_validator("basic_auth_users")
    @classmethod
    def _hashes(cls, users: dict[str, str]) -> dict[str, str]:
        for name, given in users.items():
            if not name or ":" in name:
                raise ValueError(f"{name!r} cannot be a user's name")
            if not _BCRYPT.fullmatch(given):  # it may be the password itself: not repeated
                raise ValueError(
                    f"what stands for {name} is no bcrypt hash; make one with htpasswd -nBC 10 {name}"
                )
        return users

    @field_validator("rate_limit")
    @classmethod
    def _some(cls, limit: RateLimit) -> RateLimit:
        if limit.interval and not limit.burst:
            raise ValueError("with an interval, burst must be at least 1")
        return limit


def _twice(node: Any) -> Iterator[str]:
    """Find keys that are there twice, of which YAML drops one without a word."""
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value]
        yield from (str(key) for key in keys if keys.count(key) > 1)
        for _, value in node.value:
            yield from _twice(value)


def read(path: Path) -> Content:
    """Read and check the file, but not those that it names.

    Raises:
        WebConfigError: naming the key that is unknown or the value that cannot be used.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES)
        found = yaml.safe_load(text)
        twice = next(_twice(yaml.compose(text, yaml.SafeLoader)), None)
    except OSError as error:
        raise WebConfigError(f"web configuration {str(path)!r} {explain(error)}") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise WebConfigError(f"web configuration {str(path)!r} is no YAML: {error}") from error
    if not isinstance(found, dict | None):
        raise WebConfigError(f"web configuration {str(path)!r} must be a mapping")
    if twice is not None:
        raise WebConfigError(f"{path}: {twice!r} is there twice")
    try:
        return Content.model_validate({key: value for key, value in (found or {}).items() if value is not None})  # fmt: skip
    except ValidationError as error:
        raise WebConfigError(f"{path}: {_reason(error)}") from None  # its text repeats secrets


def _reason(error: ValidationError) -> str:
    first = error.errors(include_input=False)[0]
    *way, last = map(str, first["loc"])
    name = ".".join((*way, last))
    if first["type"] == "extra_forbidden":
        return f"{name} is no key{nearest(last, _keys(way))}"
    return f"{name}: {first['msg'].removeprefix('Value error, ')}"


def _keys(way: list[str]) -> list[str]:
    """List the keys that are known at a place in the file."""
    kind: type[BaseModel] = Content
    for step in way:
        annotation = kind.model_fields[step].annotation
        kind = next(one for one in (annotation, *get_args(annotation)) if isinstance(one, type) and issubclass(one, BaseModel))  # fmt: skip
    return [field.alias or name for name, field in kind.model_fields.items()]
