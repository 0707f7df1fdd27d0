"""``lightmeter dashboards publish``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from lightmeter import secret
from lightmeter.cli.options import as_json, settings_options, settle
from lightmeter.configuration import environment
from lightmeter.errors import SettingError
from lightmeter.settings_grafana import Grafana


if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dashboards.grafana import Link
    from dashboards.publish import Done, Wish


TOKEN = "GRAFANA_TOKEN"  # noqa: S105  (the name of a variable)
_WORDS = {
    False: {"create": "created", "update": "updated", "unchanged": "unchanged", "keep": "kept"},
    True: {"create": "would be created", "update": "would be updated", "unchanged": "unchanged", "keep": "would be kept"},
}  # fmt: skip


@click.command("publish")
@settings_options(Grafana)
@click.option("--runbook", metavar="URL", help="Where the names of firing alerts lead.  [default: the live page's]")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Write nothing; show what would change.")
@click.option("--force", is_flag=True, help="Overwrite boards that were edited by hand, too.")
@as_json
@click.pass_context
def publish(
    ctx: click.Context,
    /,
    runbook: str | None,
    *,
    dry_run: bool,
    force: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Put the five dashboards into a Grafana, with their folder and, if asked, a data source.

    What is up to date is left alone, so it can be run at every deployment. A board that somebody
    edited in Grafana is shown as a diff and kept; exit code 1 then.

    \b
    Examples:
      lightmeter dashboards publish --url https://grafana.example --token-file token --dry-run
      GRAFANA_TOKEN=... lightmeter dashboards publish --prometheus http://prometheus:9090
    """
    try:
        from dashboards.grafana import Link
    except ImportError as error:
        raise SettingError("dashboards publish needs grafana-api, which is not installed; pip install 'lightmeter[grafana]'") from error  # fmt: skip
    from dashboards import files
    from dashboards.publish import Wish

    settings = settle(ctx, Grafana, options)
    link = Link(settings.url, token(settings), ca_file=_certificates(settings), timeout=settings.timeout)  # fmt: skip
    wish = Wish(settings.folder, settings.prometheus, runbook or files.RUNBOOK, force, dry_run)
    rows = _shown(_published(link, wish), quiet=as_json, dry_run=dry_run)
    if as_json:
        click.echo(json.dumps([row | {"url": _link(settings.url, row)} for row in rows], indent=2))
    return int(any(row["action"] == "keep" for row in rows))


def _published(link: Link, wish: Wish) -> Iterator[Done]:
    from dashboards.grafana import Apis, GoneError, connect
    from dashboards.publish import publish as put

    grafana = connect(link)
    try:
        yield from put(grafana, wish)
    except GoneError:
        yield from put(Apis(link), wish)


def _shown(found: Iterable[Done], *, quiet: bool, dry_run: bool) -> list[dict[str, str]]:
    rows = []
    for done in found:
        row = done.row()
        rows.append(row)
        if quiet:
            continue
        click.echo(f"{row['kind']:11}  {row['title']:28}  {_WORDS[dry_run][row['action']]}: {row['because']}")  # fmt: skip
        if row["diff"] and (row["action"] == "keep" or (dry_run and row["action"] == "update")):
            click.echo("\n".join(f"    {line}" for line in row["diff"].splitlines()))
    return rows


def _link(url: str, row: dict[str, str]) -> str:
    return f"{url.rstrip('/')}/d/{row['uid']}" if row["kind"] == "dashboard" else ""


def token(settings: Grafana) -> str:
    """Read the token.

    Raises:
        SettingError: there is none, or it is of no use; it is never shown.
    """
    if settings.token_file:
        return secret.word(settings.token_file)
    text = environment().get(TOKEN, "").strip()
    if not text:
        raise SettingError(f"there is no token for Grafana; put a service account's into a file and name it with --token-file, or set {TOKEN}")  # fmt: skip
    return secret.fit(text, TOKEN)


def _certificates(settings: Grafana) -> str | None:
    if settings.ca_file is None:
        return None
    if not settings.ca_file.is_file():
        raise SettingError(f"grafana.ca_file {str(settings.ca_file)!r} is no file; name a PEM file of certificates")  # fmt: skip
    return str(settings.ca_file)
