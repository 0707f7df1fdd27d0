"""``lightmeter export``."""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import Any, NoReturn

import click

from lightmeter import logs
from lightmeter.cli.options import settings_options, settle
from lightmeter.listening import listen
from lightmeter.settings_export import Export


@click.command("export")
@settings_options(Export)
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Export what the GPUs and the host are doing, under the names that dashboards know.

    \b
    Examples:
      lightmeter export
      lightmeter export --demo --port 9500
      lightmeter export --host 0.0.0.0 --web.config.file web.yml
    """
    _become(settle(ctx, Export, options))


def _become(settings: Export) -> NoReturn:
    """Turn this process into the exporter's, which does without all that a command needs.

    click and pydantic would be half of its memory, and that of every sampler forked from it.

    Raises:
        WebConfigError: the web configuration cannot be used. PortError: the address is taken.
    """
    from importlib import metadata

    from exporter import web

    web.Web(settings.web_config)  # refused here, before anything runs
    listener = listen(settings.host, settings.port)
    listener.set_inheritable(True)
    given = {
        "version": metadata.version("lightmeter"),
        "log": logs.form(),
        "verbose": logging.getLogger().isEnabledFor(logging.DEBUG),
        "listener": listener.fileno(),
        "options": settings.model_dump_json(),
    }
    reader, writer = os.pipe()  # on a command line, everybody could read it
    os.write(writer, json.dumps(given).encode())
    os.close(writer)
    os.set_inheritable(reader, True)  # noqa: FBT003  (os's signature)
    os.execv(sys.executable, [sys.executable, "-P", "-m", "exporter", str(reader)])  # noqa: S606  (ourselves)
