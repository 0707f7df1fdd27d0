"""``lightmeter plan focus``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from lightmeter.cli.options import as_json
from lightmeter.errors import PlanError, explain
from lightmeter.units import counted


@click.command("focus")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@as_json
@click.pass_context
def command(ctx: click.Context, file: Path, as_json: bool) -> None:  # noqa: FBT001
    """Hold a CSV of cost rows against FOCUS 1.2; exit code 1 if it breaks the specification.

    \b
    Example:
      lightmeter plan --history lightmeter-data/history --held-gpus 2 --focus focus.csv --out report
      lightmeter plan focus focus.csv
    """
    from planner import focus_check

    try:
        text = file.read_text("utf-8-sig")
    except OSError as error:
        raise PlanError(f"file {str(file)!r} {explain(error)}; name a CSV") from error
    except UnicodeDecodeError as error:
        raise PlanError(f"file {str(file)!r} is no text; name a CSV") from error
    found = focus_check.check(text)
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found], indent=2))
    else:
        for one in found:
            where = "header" if one.row == 0 else f"row {one.row}"
            click.echo(f"{where}: {one.column} {one.says}")
        click.echo("keeps to FOCUS 1.2" if not found else counted(len(found), "violation"))
    ctx.exit(1 if found else 0)
