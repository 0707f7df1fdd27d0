"""``lightmeter rules check``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lightmeter.cli.options import as_json
from lightmeter.errors import InputError, nearest
from lightmeter.units import parse_duration


if TYPE_CHECKING:  # a room is imported only when its subcommand runs
    from alerts.check import Report


@click.command("check")
@click.argument(
    "files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option(
    "--scrape-interval",
    default="15s",
    metavar="DURATION",
    help="How often Prometheus scrapes; ranges must hold four scrapes.  [default: 15s]",
)
@click.option(
    "--runbook",
    metavar="FILE.md",
    type=click.Path(path_type=Path),
    help="Runbook in which the headings of all runbook links must be.",
)
@click.option(
    "--label",
    "labels",
    metavar="NAME",
    multiple=True,
    help="Label that your targets have beside job, instance, namespace, pod, container, cluster, node, service, endpoint; may be repeated.",
)
@click.option(
    "--skip",
    "skipped",
    metavar="CODE",
    multiple=True,
    help="What not to say, such as runbook or severity; may be repeated.",
)
@click.option("--strict", is_flag=True, help="Name metrics that are not ours, too.")
@as_json
@click.pass_context
def check(
    ctx: click.Context,
    /,
    files: tuple[Path, ...],
    *,
    scrape_interval: str,
    runbook: Path | None,
    labels: tuple[str, ...],
    skipped: tuple[str, ...],
    strict: bool,
    as_json: bool,
) -> None:
    """Look for mistakes in Prometheus rule files, ours or your own.

    Files are rule files or PrometheusRule objects; what one of them records, the others may use.
    Exit code 1 where something is wrong.

    \b
    Examples:
      lightmeter rules check rules/*.yml
      lightmeter rules check mine.yml --runbook runbook.md --label team
    """
    from alerts import check as checker
    from alerts.finding import Code
    from alerts.world import Options

    seconds = parse_duration(scrape_interval)
    if not seconds:
        raise InputError("--scrape-interval is 0; give how often Prometheus scrapes, like 15s")
    for code in skipped:
        if code not in list(Code):
            raise InputError(f"--skip {code!r} is no code{nearest(code, map(str, Code))}")
    anchors = checker.headings(runbook) if runbook else None
    report = checker.check(
        files, Options(seconds, frozenset(labels), anchors, strict, frozenset(skipped))
    )
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in report.findings], indent=2))
    else:
        _show(report)
    ctx.exit(1 if report.findings else 0)


def _show(report: Report) -> None:
    for finding in report.findings:
        click.echo(str(finding))
    click.echo(f"{report.rules} rules, {len(report.findings)} findings")
