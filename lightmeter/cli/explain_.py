"""``lightmeter explain``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from lightmeter.cli.options import as_json
from lightmeter.errors import InputError
from lightmeter.units import show_duration


@click.command("explain")
@click.argument("name", metavar="ID")
@click.option(
    "--decisions",
    default="lightmeter-data/scale",
    show_default=True,
    type=click.Path(path_type=Path),
    help="File or folder of decisions.",
)
@as_json
def command(name: str, decisions: Path, as_json: bool) -> None:  # noqa: FBT001
    """Say in words why a scaling decision was as it was.

    ID is a decision's, its first characters, or "last".

    \b
    Examples:
      lightmeter explain last
      lightmeter explain 3f9a --decisions lightmeter-data/scale --json
    """
    from alerts.scale import audit
    from lightmeter.scaling.decision import check_schema

    found = None
    for one in audit.read(decisions):  # a fortnight of them does not fit into memory
        if name == "last" or one["id"].startswith(name):
            found = one
    if found is None:
        raise InputError(
            f"decision {name!r} is not in {str(decisions)!r}; give another ID, or --decisions"
        )
    check_schema(found)
    click.echo(json.dumps(found, indent=2) if as_json else "\n".join(_words(found)))


def _words(record: Mapping[str, Any]) -> Iterator[str]:
    at = datetime.fromtimestamp(record["at"], UTC)
    yield f"{at:%Y-%m-%d %H:%M:%S} UTC, target {record['target']}: {record['action']} from {record['from']} to {record['to']}"
    yield f"  {record['reason']}"
    yield f"  came of it: {record['result'] or 'nothing is known; the scaler was ended in between'}"
    yield "votes"
    for term, vote in sorted(record["votes"].items(), key=lambda item: -item[1]):
        yield f"  {vote:>5}  {term}{'  <- decided' if term == record['chosen_term'] else ''}"
    yield "seen"
    for name, reading in record["observed"].items():
        yield f"  {_shown(reading['value']):>10}  {name}{_age(reading['age_seconds'])}"


def _shown(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4g}"


def _age(seconds: float | None) -> str:
    if seconds is None:
        return ", nobody knows how old"
    return f", {show_duration(seconds)} old" if seconds else ""
