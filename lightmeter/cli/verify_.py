"""``lightmeter history verify`` and ``lightmeter history repair``."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lightmeter.cli.options import as_json
from lightmeter.cli.steps import steps
from lightmeter.units import counted


if TYPE_CHECKING:
    from lightmeter.verify import Report


@click.command("verify")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@as_json
@click.pass_context
def verify(ctx: click.Context, folder: Path, as_json: bool) -> None:  # noqa: FBT001
    """Read a history to its last byte and say what is wrong with it; exit code 1 if something is.

    Looks at checksums, columns and values of every file, at days in the wrong folder, at requests
    that are there twice, at lines and files that a crash cut short, and at rows from the future.
    Writes nothing; a server may be running.

    \b
    Example:
      lightmeter history verify lightmeter-data/history
    """
    from lightmeter import verify as checks
    from lightmeter.history import History

    History(folder)  # refuses a folder that is none

    with steps() as tell:
        found = checks.verify(folder, datetime.now(UTC), tell)
    if as_json:
        click.echo(json.dumps(_report(found), indent=2))
    else:
        _show(found)
    ctx.exit(0 if found.sound else 1)


@click.command("repair")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@as_json
@click.pass_context
def repair(ctx: click.Context, folder: Path, as_json: bool) -> None:  # noqa: FBT001
    """Mend what verify finds: bad files are copied to DIR/_aside, what they still hold is kept.

    Requests that are there twice are left once, rows go to the folder of their day. A running
    server's journal, files of a later lightmeter and rows from the future stay as they are; exit
    code 1 says that something is still wrong.

    \b
    Example:
      lightmeter history repair lightmeter-data/history
    """
    from lightmeter import repair as mending
    from lightmeter.history import History

    History(folder)  # refuses a folder that is none

    with steps() as tell:
        done, left = mending.repair(folder, datetime.now(UTC), tell)
    listed = [{"path": str(one.path), "fault": one.fault, "rows_kept": one.kept, "aside": str(one.aside)} for one in done]  # fmt: skip
    if as_json:
        click.echo(json.dumps({"mended": listed, "left": _report(left)}, indent=2))
    else:
        for one in done:
            click.echo(f"{one.fault:10} {one.path}: {counted(one.kept, 'row')} kept; as it was: {one.aside}")  # fmt: skip
        _show(left)
    ctx.exit(0 if left.sound else 1)


def _report(found: Report) -> dict[str, Any]:
    findings = [{"path": str(one.path), "fault": one.fault, "rows": one.rows, "says": one.says} for one in found.findings]  # fmt: skip
    return {"sound": found.sound, "files": found.files, "rows": found.rows, "schema_versions": found.versions, "findings": findings}  # fmt: skip


def _show(found: Report) -> None:
    for one in found.findings:
        click.echo(f"{one.fault:10} {one.says}")
    verdict = "sound" if found.sound else counted(len(found.findings), "fault")
    click.echo(f"{counted(found.files, 'file')}, {counted(found.rows, 'row')}: {verdict}")
