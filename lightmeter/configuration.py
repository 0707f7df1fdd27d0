"""Where each setting comes from: command line > ``LIGHTMETER_*`` > ``lightmeter.toml`` > default.

Sources are read once, at the front door, into frozen sections that are passed down.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from lightmeter.errors import SettingError, explain, nearest
from lightmeter.section import Section
from lightmeter.settings import SECTIONS
from lightmeter.units import without_password


PREFIX = "LIGHTMETER_"
CONFIG_VARIABLE = PREFIX + "CONFIG"
LOAD_KEY_VARIABLE = PREFIX + "LOAD_API_KEY"
FREE_VARIABLES = (CONFIG_VARIABLE, PREFIX + "TRACES", LOAD_KEY_VARIABLE)
"""Variables of ours that are no settings: the configuration file, the folder of public traces, and a
secret, which neither an option nor a file of settings may hold."""
DEFAULT_FILE = Path("lightmeter.toml")
S = TypeVar("S", bound=Section)


@dataclass(frozen=True)
class Renamed:
    """The new name of a setting, ``section.key``, and the version that renamed it."""

    to: str
    since: str


RENAMED: dict[str, Renamed] = {}
"""Settings by their former name, ``section.key``. They are still understood, with a note, in the
environment and in the file; one release with a new minor number later they may be dropped."""


@dataclass(frozen=True)
class Value:
    """One effective setting and where it came from."""

    section: str
    key: str
    value: Any
    origin: str


@dataclass(frozen=True)
class Sources:
    """What the environment and the configuration file say, by (section, key)."""

    environment: Mapping[tuple[str, str], str]
    file: Mapping[tuple[str, str], Any]
    file_name: str
    notes: tuple[str, ...] = ()
    """What should be written otherwise, one line each."""


def variable(section: str, key: str) -> str:
    """Name the environment variable of a setting."""
    return f"{PREFIX}{section}_{key}".upper()


def known_keys() -> dict[str, tuple[str, str]]:
    """Map ``section.key`` to the pair, for every setting."""
    return {
        f"{name}.{key}": (name, key)
        for name, section in SECTIONS.items()
        for key in section.model_fields
    }


def read_sources(environ: Mapping[str, str], file: Path | None = None) -> Sources:
    """Read the environment and the configuration file, refusing what is no setting.

    Raises:
        SettingError: an unknown variable or key, or an unreadable file.
    """
    named = file or (Path(environ[CONFIG_VARIABLE]) if environ.get(CONFIG_VARIABLE) else None)
    path = named or DEFAULT_FILE
    notes: list[str] = []
    values = _read_file(path, notes) if named or path.exists() else {}
    return Sources(_read_environment(environ, notes), values, str(path), tuple(notes))


def _note(old: str, new: str, since: str, *, ignored: bool) -> str:
    """Say what to write instead of a former name."""
    beside = "; it is given as well and counts" if ignored else ""
    return f"{old} is called {new} since {since}{beside}; write {new}, the old name will not be understood for ever"


def _read_environment(environ: Mapping[str, str], notes: list[str]) -> dict[tuple[str, str], str]:
    variables = {variable(*pair): pair for pair in known_keys().values()}
    former = {variable(*old.split(".")): new for old, new in RENAMED.items()}
    found: dict[tuple[str, str], str] = {}
    for name, text in environ.items():
        if not name.startswith(PREFIX) or name in FREE_VARIABLES:
            continue
        if name in former:
            pair = known_keys()[former[name].to]
            new = variable(*pair)
            notes.append(_note(f"environment variable {name}", new, former[name].since, ignored=new in environ))  # fmt: skip
            found.setdefault(pair, text)
            continue
        if name not in variables:
            key = name.removeprefix(PREFIX)
            like = [known for known in variables if known.endswith(f"_{key}")] or variables
            raise SettingError(f"environment variable {name} is no setting{nearest(name, like)}")
        found[variables[name]] = text
    return found


def _read_file(path: Path, notes: list[str]) -> dict[tuple[str, str], Any]:
    try:
        content = tomllib.loads(path.read_text())
    except OSError as error:
        raise SettingError(f"configuration file {str(path)!r} {explain(error)}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(f"configuration file {str(path)!r} is no TOML: {error}") from error
    known = known_keys()
    found: dict[tuple[str, str], Any] = {}
    for section, keys in content.items():
        if section not in SECTIONS or not isinstance(keys, dict):
            raise SettingError(f"{path}: [{section}] is no section{nearest(section, SECTIONS)}")
        for key, value in keys.items():
            if former := RENAMED.get(f"{section}.{key}"):
                pair = known[former.to]
                there = content.get(pair[0])
                beside = isinstance(there, dict) and pair[1] in there
                notes.append(_note(f"{path}: {section}.{key}", former.to, former.since, ignored=beside))  # fmt: skip
                found.setdefault(pair, value)
                continue
            if f"{section}.{key}" not in known:
                raise SettingError(
                    f"{path}: {section}.{key} is no setting{nearest(f'{section}.{key}', known)}"
                )
            found[section, key] = value
    return found


def resolve(kind: type[S], sources: Sources, options: Mapping[str, Any]) -> tuple[S, list[Value]]:
    """Settle one section; ``options`` holds what the command line gave, by key.

    Raises:
        SettingError: naming the setting, the value, its origin and what is allowed.
    """
    section = next(name for name, known in SECTIONS.items() if known is kind)
    given: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for key in kind.model_fields:
        for origin, value in (
            ("--" + key.replace("_", "-"), options.get(key)),
            (variable(section, key), sources.environment.get((section, key))),
            (sources.file_name, sources.file.get((section, key))),
        ):
            if value is not None:
                given[key], origins[key] = value, origin
                break
    try:
        settled = kind.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        raise SettingError(
            f"{section}.{key} is {without_password(repr(given[key]))} (from {origins[key]}): {_reason(first)}"
        ) from error
    return settled, [
        Value(section, key, getattr(settled, key), origins.get(key, "default"))
        for key in kind.model_fields
    ]


def _reason(error: Any) -> str:
    """Say what pydantic found, without its class names."""
    message = str(error["msg"]).removeprefix("Value error, ")
    return "it must be a path" if error["type"] == "path_type" else message[0].lower() + message[1:]


def everything(sources: Sources) -> list[Value]:
    """Settle every section without a command line, for ``config show``."""
    return [value for kind in SECTIONS.values() for value in resolve(kind, sources, {})[1]]


def environment() -> Mapping[str, str]:
    """Return the process environment; the front door is its only reader."""
    return os.environ
