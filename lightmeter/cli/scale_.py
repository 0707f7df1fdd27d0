"""``lightmeter scale``."""

from __future__ import annotations

from typing import Any

import click

from lightmeter.cli.options import settings_options, settle
from lightmeter.settings_scale import Scale


@click.command("scale")
@settings_options(Scale)
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Decide how many replicas there should be, and say why; act on it with --act.

    \b
    Examples:
      lightmeter scale --service zimage                  watch what it would do
      lightmeter scale --target pool:http://127.0.0.1:7860 --max 4 --act
      lightmeter explain ID                              why it decided so
      lightmeter replay lightmeter-data/scale            decide again, from what was seen
    """
    from alerts.scale import service

    service.serve(settle(ctx, Scale, options), click.echo)
