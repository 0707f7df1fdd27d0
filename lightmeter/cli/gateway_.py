"""``lightmeter gateway``."""

from __future__ import annotations

from typing import Any

import click

from lightmeter.cli.options import settings_options, settle
from lightmeter.settings_gateway import Gateway


@click.command("gateway")
@settings_options(Gateway)
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """One address in front of many servers; with none there, it holds the requests and has one woken.

    \b
    Examples:
      lightmeter gateway --upstream http://10.0.0.7:7860,http://10.0.0.8:7860
      lightmeter gateway --upstream dns:zimage.default.svc:7860 --host 0.0.0.0
      lightmeter gateway --upstream http://127.0.0.1:7860 --wake http://127.0.0.1:9402
      lightmeter load --url http://127.0.0.1:7880 --requests 10
    """
    from inference.gateway import server

    server.serve(settle(ctx, Gateway, options), click.echo)
