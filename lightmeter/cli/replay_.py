"""``lightmeter replay``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from lightmeter.cli.options import as_json
from lightmeter.errors import InputError


@click.command("replay")
@click.argument("file", type=click.Path(path_type=Path))
@as_json
@click.pass_context
def command(ctx: click.Context, /, file: Path, as_json: bool) -> None:  # noqa: FBT001
    """Decide again, from what each recorded decision had seen, and compare.

    FILE is a file of decisions, or their folder. Exit code 1 where one comes out differently.
    """
    from alerts.scale import audit
    from lightmeter.scaling.decide import decide
    from lightmeter.scaling.decision import inputs

    records, other = list(audit.read(file)), []
    for record in records:
        try:
            again = decide(*inputs(record))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"decision {record['id']!r} of {str(file)!r} lacks what it was made from: {error}"
            ) from error
        if again.to != record["to"]:
            other.append({"id": record["id"], "recorded": record["to"], "again": again.to})
    if as_json:
        click.echo(json.dumps({"decisions": len(records), "different": other}, indent=2))
    else:
        for one in other:
            click.echo(
                f"{one['id']}: {one['recorded']} replicas were recorded, {one['again']} come out now"
            )
        click.echo(f"{len(records)} decisions, {len(other)} different")
    ctx.exit(1 if other else 0)
