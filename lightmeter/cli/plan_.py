"""``lightmeter plan``, and ``lightmeter plan audit`` below it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from lightmeter.cli import audit_, focus_
from lightmeter.cli.deliver import (
    check_over,
    delivery_options,
    secret_of,
    send,
    settled_month,
)
from lightmeter.cli.evidence import (
    NOTHING,
    Asked,
    evidence_options,
    read_telemetry,
    spending,
    write_focus,
)
from lightmeter.cli.options import as_json, history_option, settings_options, settle
from lightmeter.settings_plan import Plan


class _Plan(click.Group):
    """A command of its own, whose required options are not asked of its subcommands."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        lenient = ctx.resilient_parsing
        ctx.resilient_parsing = lenient or (bool(args) and args[0] in self.commands)
        try:
            return super().parse_args(ctx, args)
        finally:
            ctx.resilient_parsing = lenient


@click.group(
    "plan", cls=_Plan, invoke_without_command=True, subcommand_metavar="[COMMAND [ARGS]...]"
)
@history_option
@settings_options(Plan)
@click.option(
    "--month",
    metavar="YYYY-MM",
    help="Only this month, in UTC; last is the last one that is over.  [default: the whole history]",
)
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder for the report: plan.json, report.html, .md and .xlsx, options.csv and services.csv.",
)
@evidence_options
@delivery_options
@as_json
@click.pass_context
def command(ctx: click.Context, /, history: Path, out: Path, **options: Any) -> None:
    """Price the usage history on dedicated, shared and on-demand GPUs, and recommend.

    \b
    Example:
      lightmeter plan --history lightmeter-data/history --slo p95_wait=30s --out report
    """
    if ctx.invoked_subcommand:
        return
    settings = settle(ctx, Plan, options)
    asked = Asked(options["telemetry"], options["bearer_token_file"], options["focus"])
    now = datetime.now(UTC)
    month = settled_month(options["month"], now)
    check_over(month, options["targets"], now)
    secret = secret_of(options["webhook_secret_file"])
    document = make_plan(history, settings, out, month=month, asked=asked)
    for line in send(document, out, options["targets"], focus=asked.focus, secret=secret):
        click.echo(f"delivered: {line}", err=True)
    if options["as_json"]:
        click.echo(json.dumps(document, indent=2))
    else:
        show_plan(document, out)


command.add_command(audit_.command)
command.add_command(focus_.command)


def check_plan(settings: Plan) -> None:
    """Refuse an objective, price table or SKU now rather than after an hour of serving.

    Raises:
        PlanError, PriceError: naming what is not understood.
    """
    from planner import prices, slo

    slo.parse(settings.slo)
    prices.pick(prices.load(settings.prices), settings.sku)


def make_plan(
    folder: Path,
    settings: Plan,
    out: Path,
    *,
    month: str | None = None,
    since: datetime | None = None,
    asked: Asked = NOTHING,
) -> dict[str, Any]:
    """Read the history, plan, write the report, and return the plan document."""
    from rich.console import Console

    console = Console(stderr=True)
    with console.status("reading the history") as status:
        from lightmeter.history import History
        from planner import demand, plan, plausible, prices, report, rightsizing

        history = History(folder)
        now = datetime.now(UTC)
        first, after = demand.month_window(month) if month else (since, None)
        frame = history.frame([*plan.COLUMNS, *rightsizing.COLUMNS], since=first, until=after)
        window = demand.covered(month, history.extent) if month else (None, None)
        possible, _ = plausible.only(frame, now)
        whole = demand.from_frame(possible, window)
        telemetry = read_telemetry(asked, whole, status.update)
        table = prices.load(settings.prices)
        document = plan.make(
            frame,
            settings,
            table,
            month=month,
            now=now,
            window=window,
            generated_from={"history": str(folder), "rows": len(frame), "notes": history.notes},
            tell=status.update,
            telemetry=telemetry,
        )
        status.update("adding up what was spent")
        spent = spending((whole, possible), settings, prices.pick(table, settings.sku), telemetry)
        document |= spent.blocks
        status.update("writing the report")
        report.write(document, out, settings.language)
        write_focus(asked, spent)
    for note in document["generated_from"]["notes"]:
        click.echo(f"note: {note}", err=True)
    return document


def show_plan(document: dict[str, Any], out: Path) -> None:
    """Print the options as a table, then the advice in one sentence and where the report lies."""
    from planner import report

    click.echo(report.text(document))
    click.echo(f"\nReport: {out / report.HTML}")
