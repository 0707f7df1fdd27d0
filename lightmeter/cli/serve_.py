"""``lightmeter serve``."""

from __future__ import annotations

import json
from typing import Any

import click

from lightmeter.cli.options import as_json, settings_options, settle
from lightmeter.configuration import environment
from lightmeter.errors import InputError
from lightmeter.settings import Serve
from lightmeter.units import show_duration


@click.command("serve")
@click.option(
    "--tune",
    is_flag=True,
    help="Serve nobody: measure batches on this machine, recommend --batch and a concurrency for --latency-target, and end.",
)
@as_json
@settings_options(Serve)
@click.pass_context
def command(ctx: click.Context, /, *, tune: bool, as_json: bool, **options: Any) -> None:
    """Serve pictures through an OpenAI-shaped API, and meter every request.

    \b
    Example:
      lightmeter serve --model ./Z-Image-Turbo --data /var/lib/lightmeter
      curl -s localhost:7860/v1/images/generations -H 'content-type: application/json' \\
           -d '{"prompt": "a red fox in snow", "size": "64x64"}'
      lightmeter serve --model ./Z-Image-Turbo --tune --latency-target 5
    """
    settings = settle(ctx, Serve, options)
    if tune:
        _tune(settings, as_json=as_json)
        return
    if as_json:
        raise InputError("--json prints a result, and serving has none; use it with --tune")
    from inference import server

    server.serve(settings, click.echo, environment())


def _tune(settings: Serve, *, as_json: bool) -> None:
    import asyncio

    from inference import server, tuner

    found = asyncio.run(tuner.trial(settings, server.model_name(settings.model)))
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=2))
        return
    click.echo(f"{found.shape}, measured:\n\n  batch     seconds  pictures/s")
    for images, seconds in found.seconds_by_pictures.items():
        click.echo(f"  {images:5}  {show_duration(seconds):>10}  {images / seconds:10.3g}")
    advice = found.advice
    click.echo(
        f"\nRecommended: --batch {advice.batch}, {advice.concurrency} requests open at once."
    )
    click.echo(advice.reason)
