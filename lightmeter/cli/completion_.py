"""``lightmeter completion``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, /, shell: str) -> None:
    """Print the completion script of a shell.

    \b
    Example, for bash:
      lightmeter completion bash > ~/.local/share/bash-completion/completions/lightmeter
    """
    completer = get_completion_class(shell)
    if completer is None:
        raise click.UsageError(f"no completion for {shell!r}; use bash, zsh or fish")
    click.echo(
        completer(ctx.find_root().command, {}, "lightmeter", "_LIGHTMETER_COMPLETE").source()
    )
