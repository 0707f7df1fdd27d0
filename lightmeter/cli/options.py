"""Settings as command-line options: one table, so that each knob is described once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import click

from lightmeter.configuration import S, Sources, environment, read_sources, resolve, variable
from lightmeter.section import Section
from lightmeter.settings import SECTIONS
from lightmeter.units import without_password


F = TypeVar("F", bound=Callable[..., Any])
as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
ALIASES = {("export", "web_config"): ("--web.config.file",)}
"""Other spellings of a setting's option: what operators of other exporters type."""
history_option = click.option(
    "--history", required=True, type=click.Path(path_type=Path), help="Folder of usage history."
)


def settings_options(
    kind: type[Section], *only: str, prefix: str = "", defaults: Mapping[str, str] | None = None
) -> Callable[[F], F]:
    """Add an option for each setting of a section, or for those named; their keys get the prefix.

    ``defaults`` says in words what a command takes instead of the section's own default.
    """
    section = next(name for name, known in SECTIONS.items() if known is kind)

    def decorate(function: F) -> F:
        for key in reversed(only or tuple(kind.model_fields)):
            default = (defaults or {}).get(key) or shown(kind.model_fields[key].default)
            function = _option(section, kind, key, prefix, default=default)(function)
        return function

    return decorate


def _option(
    section: str, kind: type[Section], key: str, prefix: str, *, default: str
) -> Callable[[F], F]:
    field = kind.model_fields[key]
    name = prefix + key
    flag = name.replace("_", "-")
    names = [f"--{flag}", *ALIASES.get((section, key), ())]
    note = f"{field.description}  [default: {default}; env: {variable(section, key)}]"
    if field.annotation is bool:
        return click.option(f"--{flag}/--no-{flag}", name, default=None, help=note)
    return click.option(*names, name, metavar=_metavar(key, field.annotation), help=note)


def _metavar(key: str, annotation: Any) -> str:
    names = {
        int: "N",
        int | None: "N",
        float: "NUMBER",
        float | None: "NUMBER",
        Decimal: "NUMBER",
        Path: "PATH",
        Path | None: "PATH",
    }
    return names.get(annotation, key.upper())


def shown(value: Any) -> str:
    """Show a setting's value the way a person would type it, without a password in it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return "none" if value in (None, "") else without_password(str(value))


def sources(ctx: click.Context) -> Sources:
    """Read the environment and the configuration file that the command line names."""
    root = ctx.find_root()
    found = read_sources(environment(), root.obj)
    told = root.meta.setdefault(f"{__name__}.told", set())
    for note in found.notes:
        if note not in told:
            told.add(note)
            click.echo(f"note: {note}", err=True)
    return found


def settle(ctx: click.Context, kind: type[S], given: Mapping[str, Any]) -> S:
    """Settle a section from the command line and the other sources."""
    return resolve(kind, sources(ctx), {key: given.get(key) for key in kind.model_fields})[0]
