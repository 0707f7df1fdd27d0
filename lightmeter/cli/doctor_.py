"""``lightmeter doctor``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from typing import Any

import click

from lightmeter import doctor, secret
from lightmeter.cli.options import as_json, settings_options, settle, sources
from lightmeter.configuration import resolve
from lightmeter.doctor import Check, Finding, Verdict
from lightmeter.section import Section
from lightmeter.settings import SECTIONS, Serve
from lightmeter.settings_dashboards import Dashboards
from lightmeter.settings_grafana import Grafana
from lightmeter.settings_localprom import Localprom
from lightmeter.settings_scale import Scale
from lightmeter.settings_up import Up


_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}
_PROGRAMS = {"dashboards": "dashboards serve "}
"""How an option is written before which a section's own name would be wrong."""


@click.command("doctor")
@as_json
@settings_options(Serve, "data")
@settings_options(Scale, "prometheus", "bearer_file", "target")
@settings_options(Localprom, "alertmanager")
@click.option("--grafana", metavar="URL", help="Address of Grafana, looked at where it is given or set.  [env: LIGHTMETER_GRAFANA_URL]")  # fmt: skip
@settings_options(Grafana, "token_file", "ca_file")
@click.pass_context
def command(ctx: click.Context, /, *, as_json: bool, **options: Any) -> None:
    """Look at this machine and at what it is to talk to: what works, what lacks, the fix for each.

    A Prometheus, an Alertmanager and a Grafana are asked where they are given or set; a cluster
    where the scaler's target is in one. Exit code 1 where something must be mended; what merely
    could be better is a warning.

    \b
    Examples:
      lightmeter doctor
      lightmeter doctor --prometheus http://prometheus:9090 --alertmanager http://alertmanager:9093
      lightmeter doctor --grafana https://grafana.example --token-file token --json
      lightmeter doctor --target deployment:images/zimage
    """
    findings = doctor.examine([*_machine(ctx, options), *_outside(ctx, options)])
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        _show(findings)
    ctx.exit(0 if doctor.healthy(findings) else 1)


def _machine(ctx: click.Context, options: dict[str, Any]) -> Iterator[Check]:
    """Yield what is looked at on this machine, the rooms' own checks among it."""
    from exporter import checks as exporter
    from inference import checks as inference
    from lightmeter import doctor_machine as machine
    from planner import checks as planner

    data = settle(ctx, Serve, _only(options, "data")).data
    yield from doctor.ground_checks()
    yield lambda: machine.check_disk(data)
    for option, port in _ports(ctx):
        yield partial(machine.check_port, option, port)
    yield lambda: machine.check_clock(data)
    yield machine.check_cgroup
    yield from inference.checks()
    yield from exporter.checks()
    yield from planner.checks()


def _ports(ctx: click.Context) -> Iterator[tuple[str, int]]:
    """Yield each port that a program of ours would take, by its option."""
    for name, kind in SECTIONS.items():
        values = settle(ctx, kind, {}).model_dump()
        for key in (key for key in values if key == "port" or key.endswith("_port")):
            if values[key]:
                before = "" if name == "serve" else _PROGRAMS.get(name, f"{name} ")
                yield f"{before}--{key.replace('_', '-')}", values[key]


def _outside(ctx: click.Context, options: dict[str, Any]) -> Iterator[Check]:
    """Yield what is asked of others, where somebody named them."""
    from alerts.scale.checks import check_cluster
    from dashboards.checks import check_grafana
    from lightmeter import doctor_outside as outside
    from lightmeter.cli.dashboards_publish_ import token

    scale = settle(ctx, Scale, _only(options, "bearer_file", "target"))
    if url := _prometheus(ctx, options):
        yield lambda: outside.check_prometheus(
            outside.Asked(url, secret.bearer(secret.word(scale.bearer_file)))
        )
    if told := settle(ctx, Localprom, _only(options, "alertmanager")).alertmanager:
        yield lambda: outside.check_alertmanager(outside.Asked(told))
    given = _only(options, "token_file", "ca_file") | {"url": options["grafana"]}
    if _named(ctx, Grafana, given, "url", "token_file"):
        grafana = settle(ctx, Grafana, given)
        yield lambda: check_grafana(grafana, lambda: token(grafana))
    yield lambda: check_cluster(scale.target)


def _only(options: dict[str, Any], *keys: str) -> dict[str, Any]:
    """Pick options of one section: others have settings of the same names."""
    return {key: options[key] for key in keys}


def _prometheus(ctx: click.Context, options: dict[str, Any]) -> str:
    """Return the Prometheus that somebody named, or nothing."""
    for kind, given in ((Scale, _only(options, "prometheus")), (Up, {}), (Dashboards, {})):
        if _named(ctx, kind, given, "prometheus"):
            return str(settle(ctx, kind, given).model_dump()["prometheus"])
    return ""


def _named(ctx: click.Context, kind: type[Section], given: dict[str, Any], *keys: str) -> bool:
    """Tell whether anything but the default says one of these settings."""
    known = {key: given.get(key) for key in kind.model_fields}
    values = resolve(kind, sources(ctx), known)[1]
    return any(value.origin != "default" for value in values if value.key in keys)


def _show(findings: list[Finding]) -> None:
    for finding in findings:
        mark = click.style(f"{finding.verdict:4}", fg=_COLOURS[finding.verdict])
        click.echo(f"{mark}  {finding.what}: {finding.found}")
        if finding.fix:
            click.echo(f"      {finding.fix}")
    counts = [f"{sum(one.verdict is verdict for one in findings)} {verdict}" for verdict in Verdict]
    click.echo(f"\n{', '.join(counts)}")
