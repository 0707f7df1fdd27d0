"""API keys: who may ask, how often, and whose share of the GPUs it is."""

from __future__ import annotations

import hashlib
import hmac
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from lightmeter import secret
from lightmeter.errors import InputError, LightmeterError, SettingError, explain


_NAME = re.compile(r"[\w.-]{1,64}", re.ASCII)
LEAST_KEY_CHARS = 16


@dataclass(frozen=True)
class Tenant:
    """Who a request is for. ``weight`` is its share of the GPUs beside others that wait.

    ``requests_per_minute`` and ``burst`` bound its rate; None where nothing does. A tenant without
    a name is anyone: no keys are asked for.
    """

    name: str | None = None
    weight: float = 1.0
    requests_per_minute: float | None = None
    burst: int = 1
    admin: bool = False


ANYONE = Tenant()
OPERATOR = Tenant("admin-key-file", admin=True)


class Unauthorized(InputError):  # noqa: N818  (an answer, not a fault)
    """No key, or one that is not known."""


class Forbidden(LightmeterError):  # noqa: N818  (an answer, not a fault)
    """The key is known and may not do this."""


def _visible(key: str) -> str:
    """Refuse what no header can carry."""
    if not all("!" <= letter <= "~" for letter in key):
        raise ValueError("may hold visible ASCII characters only")
    return key


class _Entry(BaseModel):
    """One table of the key file."""

    model_config = ConfigDict(extra="forbid", strict=True)

    key: Annotated[str, Field(min_length=LEAST_KEY_CHARS), AfterValidator(_visible)] | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    weight: float = Field(1.0, gt=0, le=1000)
    requests_per_minute: float | None = Field(None, gt=0, le=1_000_000)
    burst: int | None = Field(None, ge=1, le=1_000_000)
    admin: bool = False

    @model_validator(mode="after")
    def _one_secret(self) -> _Entry:
        if (self.key is None) == (self.sha256 is None):
            raise ValueError("give either key or sha256")
        return self

    def digest(self) -> bytes:
        """SHA-256 of the key."""
        return bytes.fromhex(self.sha256) if self.sha256 else _digest(self.key or "")

    def tenant(self, name: str) -> Tenant:
        """Describe the tenant; without ``burst``, a tenth of a minute's requests may come at once."""
        rate = self.requests_per_minute
        burst = self.burst or max(1, round((rate or 0) / 10))
        return Tenant(name, self.weight, rate, burst, self.admin)


class Keys:
    """The known keys, as digests; empty where none are asked for.

    ``operator`` is the digest of a key that opens the admin routes and asks nobody else for one.
    """

    def __init__(self, tenants: Mapping[bytes, Tenant], operator: bytes | None = None) -> None:
        self._tenants = tenants
        self._operator = operator

    @classmethod
    def read(cls, path: Path | None, operator: Path | None = None) -> Keys:
        """Read the key file, a TOML table for each tenant; without a file anyone may ask.

        ``operator`` is a file with one key, which opens the admin routes.

        Raises:
            SettingError: naming the file, the tenant and what is wrong; never the key.
        """
        key = secret.word(operator, "admin key", least=LEAST_KEY_CHARS)
        digest = _digest(key) if key else None
        if path is None:
            return cls({}, digest)
        try:
            tables = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise SettingError(f"key file {str(path)!r} {explain(error)}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingError(f"key file {str(path)!r} is no TOML") from error
        tenants: dict[bytes, Tenant] = {}
        for place, (name, table) in enumerate(tables.items(), 1):
            if not _NAME.fullmatch(name) or not isinstance(table, dict):  # it may be a key
                raise SettingError(
                    f"key file {str(path)!r}: entry {place} is no tenant; write [NAME], 1 to 64 letters, digits, '.', '_' or '-', and below it key = \"...\""
                )
            entry = _entry(path, name, table)
            if entry.digest() in tenants:
                raise SettingError(f"key file {str(path)!r}: {name} has another tenant's key")
            tenants[entry.digest()] = entry.tenant(name)
        if not tenants:
            raise SettingError(f"key file {str(path)!r} names no tenant; add a [NAME] with a key")
        return cls(tenants, digest)

    @property
    def asked(self) -> bool:
        """Whether a key is asked for."""
        return bool(self._tenants)

    def identify(self, authorization: str | None) -> Tenant:
        """Tell whose key the ``Authorization: Bearer`` header holds.

        Every known digest is compared, each in constant time, so that the time tells nothing.

        Raises:
            Unauthorized: there is none, or it is not known.
        """
        if not self.asked:
            return ANYONE
        scheme, _, key = (authorization or "").partition(" ")
        given, found = _digest(key.strip()), None
        for digest, tenant in self._tenants.items():
            if hmac.compare_digest(digest, given):
                found = tenant
        if found is None and key.strip() and scheme.lower() == "bearer":
            raise Unauthorized("the key that was sent is none of this server's; ask its operator for one")  # fmt: skip
        if found is None or scheme.lower() != "bearer":
            raise Unauthorized("this server asks for a key: send 'Authorization: Bearer KEY'")
        return found

    def admin(self, authorization: str | None) -> Tenant:
        """Tell whose admin key it is.

        Raises:
            Unauthorized: there is none, or it is not known. Forbidden: it is no admin's.
        """
        if self._operator is not None:
            scheme, _, key = (authorization or "").partition(" ")
            known = hmac.compare_digest(self._operator, _digest(key.strip()))
            if known and scheme.lower() == "bearer":
                return OPERATOR
            if not self.asked:
                raise Unauthorized("this route asks for the key of serve.admin_key_file: send 'Authorization: Bearer KEY'")  # fmt: skip
        if not any(tenant.admin for tenant in self._tenants.values()):
            raise Forbidden(
                "the admin routes are closed: give --keys a file in which a tenant has admin = true, or --admin-key-file one with a key"
            )
        tenant = self.identify(authorization)
        if not tenant.admin:
            raise Forbidden(f"the key of {tenant.name} is no admin's")
        return tenant


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _entry(path: Path, name: str, table: dict[str, Any]) -> _Entry:
    try:
        return _Entry.model_validate(table)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the table"
        message = first["msg"].removeprefix("Value error, ")
        message = message[0].lower() + message[1:]
        raise SettingError(f"key file {str(path)!r}: {name}: {field}: {message}") from error
