"""A web configuration file in the schema of Prometheus' exporter-toolkit.

https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md. Checked by hand:
pydantic would add to the exporter's process half of what it is allowed in all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lightmeter.errors import SettingError, WebConfigError, explain, nearest
from lightmeter.units import parse_duration


MAX_BYTES = 1_048_576
VERSIONS = ("TLS10", "TLS11", "TLS12", "TLS13")
CURVES = ("CurveP256", "CurveP384", "CurveP521", "X25519")
POLICIES = (
    "",
    "NoClientCert",
    "RequestClientCert",
    "RequireAnyClientCert",
    "RequireClientCert",
    "VerifyClientCertIfGiven",
    "RequireAndVerifyClientCert",
)
SCHEMA: dict[str, Any] = {
    "tls_server_config": {
        "cert": str, "key": str, "client_ca": str,
        "cert_file": str, "key_file": str, "client_ca_file": str,
        "client_auth_type": POLICIES, "client_allowed_sans": [str],
        "min_version": VERSIONS, "max_version": VERSIONS,
        "cipher_suites": [str], "prefer_server_cipher_suites": bool, "curve_preferences": [CURVES],
    },
    "http_server_config": {
        "http2": bool,  # never spoken here, and no scraper insists on it
        "headers": {
            "Content-Security-Policy": str, "X-Frame-Options": str, "X-Content-Type-Options": str,
            "X-XSS-Protection": str, "Strict-Transport-Security": str,
        },
    },
    "basic_auth_users": dict,
    "rate_limit": {"interval": object, "burst": int},
}  # fmt: skip
"""Each key's kind: a type, a choice of words (tuple), a list of one kind, or keys of its own."""
_WORDS = {str: "text", bool: "true or false", int: "a whole number", dict: "a mapping"}
_BCRYPT = re.compile(r"\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}")


@dataclass(frozen=True)
class Tls:
    """``tls_server_config``. Files are relative to the configuration's folder."""

    cert: str = ""
    key: str = ""
    client_ca: str = ""
    cert_file: str = ""
    key_file: str = ""
    client_ca_file: str = ""
    client_auth_type: str = ""
    client_allowed_sans: list[str] | None = None
    min_version: str = "TLS12"
    max_version: str = "TLS13"
    cipher_suites: list[str] = field(default_factory=list)
    prefer_server_cipher_suites: bool = True
    curve_preferences: list[str] = field(default_factory=list)

    @property
    def files(self) -> tuple[str, ...]:
        """The files that it names."""
        return tuple(filter(None, (self.cert_file, self.key_file, self.client_ca_file)))


@dataclass(frozen=True)
class Content:
    """The file; ``interval`` is seconds between two requests beyond a burst, 0 no limit."""

    tls: Tls | None
    headers: Mapping[str, str]
    users: Mapping[str, str]
    interval: float
    burst: int


def read(path: Path) -> Content:
    """Read and check the file, but not those that it names.

    Raises:
        WebConfigError: naming the key that is unknown or the value that cannot be used.
    """
    found = _check(str(path), "", _parse(path), SCHEMA)
    secure, http = found.get("tls_server_config"), found.get("http_server_config", {})
    headers = {name: text for name, text in http.get("headers", {}).items() if text}
    for name, text in headers.items():
        if not (text.isprintable() and text.isascii()):
            raise WebConfigError(f"{path}: the header {name} must be one line of ASCII")
    users = found.get("basic_auth_users", {})
    _check_users(path, users)
    interval, burst = _rate(path, found.get("rate_limit", {}))
    return Content(Tls(**secure) if secure else None, headers, users, interval, burst)


def _parse(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES)
        found = yaml.safe_load(text)
        twice = next(_twice(yaml.compose(text, yaml.SafeLoader)), None)
    except OSError as error:
        raise WebConfigError(f"web configuration {str(path)!r} {explain(error)}") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise WebConfigError(f"web configuration {str(path)!r} is no YAML: {error}") from error
    if twice is not None:
        raise WebConfigError(f"{path}: {twice!r} is there twice")
    return {} if found is None else found


def _twice(node: Any) -> Iterator[str]:
    """Find keys that are there twice, of which YAML drops one without a word."""
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value]
        yield from (str(key) for key in keys if keys.count(key) > 1)
        for _, value in node.value:
            yield from _twice(value)


def _check(file: str, name: str, value: Any, kind: Any) -> Any:
    """Hold a value against its kind; keys without a value are as if they were not there."""
    where = f"{file}: {name}" if name else f"web configuration {file!r}"
    if isinstance(kind, dict):
        if not isinstance(value, dict):
            raise WebConfigError(f"{where} must be a mapping")
        unknown = next((key for key in value if key not in kind), None)
        if unknown is not None:
            full = ".".join(filter(None, (name, str(unknown))))
            raise WebConfigError(f"{file}: {full} is no key{nearest(str(unknown), kind)}")
        given = {key: inner for key, inner in value.items() if inner is not None}
        return {
            key: _check(file, ".".join(filter(None, (name, key))), inner, kind[key])
            for key, inner in given.items()
        }
    if isinstance(kind, list):
        if not isinstance(value, list):
            raise WebConfigError(f"{where} must be a list")
        return [_check(file, name, one, kind[0]) for one in value]
    if isinstance(kind, tuple):
        if value not in kind:
            raise WebConfigError(f"{where} must be one of {', '.join(filter(None, kind))}{nearest(str(value), kind)}")  # fmt: skip
    elif not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise WebConfigError(f"{where} must be {_WORDS[kind]}")  # the value may be a secret
    return value


def _check_users(path: Path, users: Mapping[Any, Any]) -> None:
    for name, given in users.items():
        if not isinstance(name, str) or not name or ":" in name:
            raise WebConfigError(f"{path}: basic_auth_users: {name!r} cannot be a user's name")
        if not isinstance(given, str) or not _BCRYPT.fullmatch(
            given
        ):  # perhaps the password itself
            raise WebConfigError(
                f"{path}: basic_auth_users: what stands for {name} is no bcrypt hash; "
                f"make one with htpasswd -nBC 10 {name}"
            )


def _rate(path: Path, limit: Mapping[str, Any]) -> tuple[float, int]:
    burst = int(limit.get("burst", 0))
    try:
        interval = parse_duration(str(limit.get("interval", 0)))
    except SettingError as error:
        raise WebConfigError(f"{path}: rate_limit.interval: {error}") from error
    if interval and burst < 1:
        raise WebConfigError(f"{path}: rate_limit.burst must be at least 1 where there is an interval")  # fmt: skip
    return interval, burst
