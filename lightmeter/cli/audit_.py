"""``lightmeter plan audit``."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import click

from lightmeter.cli.options import as_json


@click.command("audit")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@as_json
@click.pass_context
def command(ctx: click.Context, /, file: Path | None, as_json: bool) -> None:  # noqa: FBT001
    """Check claims of cost and speed: their arithmetic, and the physical limit of the GPU.

    FILE is a TOML of [[claim]] tables, described in docs/planner.md; without it the figures of the
    articles that this project began with are checked. A claim holds, is inconsistent (its figures
    contradict each other) or impossible (no such machine can do it). Exit code 1: some do not hold.

    \b
    Example:
      lightmeter plan audit claims.toml --json
    """
    from planner import audit

    found = audit.of_file(file) if file else audit.builtin()
    click.echo(json.dumps(found, indent=2, ensure_ascii=False) if as_json else _text(found))
    ctx.exit(0 if all(row["verdict"] == audit.Verdict.HOLDS for row in found) else 1)


def _text(found: list[dict[str, Any]]) -> str:
    lines = [f"{row['verdict']:12}  {row['claim']}\n{'':14}{row['source']}: {row['because']}" for row in found]  # fmt: skip
    counts = Counter(row["verdict"] for row in found)
    total = ", ".join(f"{verdict} {count}" for verdict, count in counts.items())
    return "\n".join([*lines, "", f"{len(found)} claims: {total}"])
