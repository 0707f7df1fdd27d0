"""``lightmeter config show``."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from lightmeter.cli.options import as_json, shown, sources
from lightmeter.configuration import everything
from lightmeter.units import without_password


@click.group("config")
def command() -> None:
    """Effective settings and where each came from."""


@command.command("show")
@as_json
@click.pass_context
def show(ctx: click.Context, /, as_json: bool) -> None:  # noqa: FBT001
    """Print every setting, its value and its origin.

    The command line wins over LIGHTMETER_* variables, those over the configuration file, that over
    the defaults. Logins in URLs are not shown.

    \b
    Examples:
      lightmeter config show
      LIGHTMETER_SERVE_QUEUE=9 lightmeter --config lightmeter.toml config show --json
    """
    values = everything(sources(ctx))
    if as_json:
        text = json.dumps([asdict(value) for value in values], indent=2, default=str)
        click.echo(without_password(text))
        return
    wide = max(len(f"{value.section}.{value.key}") for value in values)
    for value in values:
        name = f"{value.section}.{value.key}"
        click.echo(f"{name:{wide}}  {shown(value.value):32}  {value.origin}")
