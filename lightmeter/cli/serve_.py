"""``lightmeter serve``."""

from __future__ import annotations

from typing import Any

import click

from lightmeter.cli.options import settings_options, settle
from lightmeter.settings import Serve


@click.command("serve")
@settings_options(Serve)
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Serve pictures through an OpenAI-shaped API, and meter every request.

    \b
    Example:
      lightmeter serve --model ./Z-Image-Turbo --data /var/lib/lightmeter
      curl -s localhost:7860/v1/images/generations -H 'content-type: application/json' \\
           -d '{"prompt": "a red fox in snow", "size": "64x64"}'
    """
    settings = settle(ctx, Serve, options)
    from inference import server

    server.serve(settings, click.echo)
