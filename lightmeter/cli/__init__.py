"""The front door: one command, which imports a room only when its subcommand runs."""

from __future__ import annotations

import importlib
import io
import sys
from pathlib import Path
from typing import NoReturn, get_args

import click

from lightmeter import logs
from lightmeter.errors import LightmeterError, SettingError, nearest, printable


COMMANDS: dict[str, str] = {
    "up": "Everything on this machine: serve, load, meter, alert, scale, and the cost plan at the end.",
    "serve": "The inference server.",
    "load": "Load generator and benchmark client for any OpenAI-shaped image endpoint.",
    "export": "The GPU and host exporter.",
    "gateway": "One address in front of many servers, none of them included: it wakes the first.",
    "scale": "How many replicas there should be, and why; advisory until --act.",
    "localprom": "Metrics without a Prometheus: scrape, keep, evaluate rules, answer PromQL.",
    "explain": "One scaling decision in words.",
    "replay": "Scaling decisions made again from what was seen.",
    "rules": "Alerting and recording rules: make them, check them.",
    "dashboards": "Dashboards: for Grafana, checked, published; and shown without it.",
    "history": "Import and look at usage history.",
    "simulate": "Scaling policies replayed on a trace or on usage history.",
    "plan": "The cost report: dedicated, shared or on-demand GPUs.",
    "doctor": "What this machine has and lacks, with the fix for each.",
    "config": "Effective settings and where each came from.",
    "completion": "Shell completion for bash, zsh or fish.",
}
"""Each command and its line of help; its module is ``lightmeter.cli.NAME_``."""
_OURS = ("lightmeter", "inference", "exporter", "alerts", "dashboards", "planner")


class _Lazy(click.Group):
    """Knows its commands by name and imports one only to run it."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  (click's signature)
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"lightmeter.cli.{cmd_name}_").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS:
            raise click.UsageError(
                f"no command {args[0]!r} (see lightmeter --help){nearest(args[0], COMMANDS)}"
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _show_version(ctx: click.Context, /, _: click.Parameter, wanted: bool) -> None:  # noqa: FBT001
    if wanted:
        from importlib import metadata

        click.echo(f"lightmeter {metadata.version('lightmeter')}")
        ctx.exit()


@click.group(
    cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.option(
    "--config",
    "config",
    type=click.Path(path_type=Path),
    help="Configuration file.  [default: lightmeter.toml, where there is one; env: LIGHTMETER_CONFIG]",
)
@click.option(
    "--log-format",
    type=click.Choice(get_args(logs.Format)),
    help="Log lines for people, or one JSON object each.  [default: text; env: LIGHTMETER_LOG_FORMAT]",
)
@click.option("-v", "--verbose", is_flag=True, help="Log more.")
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_show_version,
    help="Show the version and exit.",
)
@click.pass_context
def root(
    ctx: click.Context,
    /,
    config: Path | None,
    log_format: str | None,
    verbose: bool,  # noqa: FBT001
) -> None:
    """Meter, alert on, scale and budget GPU image-generation services.

    \b
    Examples:
      lightmeter up                            all of it on this machine, with a tiny model
      lightmeter serve --model ./Z-Image-Turbo
      lightmeter history show lightmeter-data/history
      lightmeter plan --history lightmeter-data/history --out report
    """
    ctx.obj = config
    logs.configure(_log_format(ctx, log_format), verbose=verbose)


def _log_format(ctx: click.Context, given: str | None) -> logs.Format:
    """Settle the form of log lines; what else is wrong with the settings, their reader will say."""
    from lightmeter.cli.options import sources
    from lightmeter.configuration import Sources, resolve
    from lightmeter.settings import Log

    try:
        found = sources(ctx)
    except SettingError:
        found = Sources({}, {}, "")
    return resolve(Log, found, {"format": given})[0].format


def main(args: list[str] | None = None) -> NoReturn:
    """Run one command; every failure is one line on stderr and the exit code of its kind."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a letter is no failure
    try:
        code = root.main(args, prog_name="lightmeter", standalone_mode=False)
    except LightmeterError as error:
        _fail(str(error), error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        sys.exit(2)
    except click.ClickException as error:
        _fail(error.format_message(), 2)
    except ImportError as error:
        _fail(_not_whole(error), 2)
    except OSError as error:  # what ours are is translated where it happens: this is our output
        _fail(f"the output cannot be written: {error.strerror or error}", 3)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except SystemExit:  # click's way out: a completion is done, or the reader has seen enough
        sys.exit(0)
    sys.exit(code if isinstance(code, int) else 0)


def _not_whole(error: ImportError) -> str:
    """Say that the environment is of another time than the code.

    Raises:
        ImportError: what is wrong is the code.
    """
    package = (error.name or "").partition(".")[0]
    if package in {"", *_OURS}:
        raise error
    return f"the environment is not whole: {error}; 'make env' completes it, or pip install -c constraints.txt ."


def _fail(message: str, code: int) -> NoReturn:
    click.echo(f"lightmeter: {printable(' '.join(message.split()))}", err=True)
    sys.exit(code)
