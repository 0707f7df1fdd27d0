"""``lightmeter doctor``."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from lightmeter import doctor
from lightmeter.cli.options import as_json, settle
from lightmeter.settings import Serve
from lightmeter.settings_export import Export


_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command("doctor")
@as_json
@click.pass_context
def command(ctx: click.Context, /, as_json: bool) -> None:  # noqa: FBT001
    """Look at this machine: what works, what lacks, and the fix for each.

    Exit code 1 where something must be mended; what merely could be better is a warning.
    """
    from exporter import checks as exporter
    from inference import checks as inference
    from planner import checks as planner

    settings = settle(ctx, Serve, {})
    ports = {
        "--port": settings.port,
        "--metrics-port": settings.metrics_port,
        "export --port": settle(ctx, Export, {}).port,
    }
    ground = doctor.ground_checks(settings.data, ports)
    findings = doctor.examine([*ground, *inference.checks(), *exporter.checks(), *planner.checks()])
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        _show(findings)
    ctx.exit(0 if doctor.healthy(findings) else 1)


def _show(findings: list[doctor.Finding]) -> None:
    for finding in findings:
        mark = click.style(f"{finding.verdict:4}", fg=_COLOURS[finding.verdict])
        click.echo(f"{mark}  {finding.what}: {finding.found}")
        if finding.fix:
            click.echo(f"      {finding.fix}")
