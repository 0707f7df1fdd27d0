"""``lightmeter up``: all parts, load, live figures, and the cost plan of what was seen."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import httpx

from lightmeter.cli import house, live
from lightmeter.cli.child import Child
from lightmeter.cli.house import House
from lightmeter.cli.options import as_json, settings_options, settle
from lightmeter.cli.own_prometheus import Own, own, short
from lightmeter.cli.plan_ import check_plan, make_plan, show_plan
from lightmeter.cli.revive import Reviver
from lightmeter.errors import HistoryError, PlanError
from lightmeter.settings import Serve
from lightmeter.settings_export import Export
from lightmeter.settings_localprom import Localprom
from lightmeter.settings_plan import Plan
from lightmeter.settings_scale import Scale
from lightmeter.settings_up import Up
from lightmeter.units import counted, show_duration, without_password


SECONDS_WITHOUT_TERMINAL = 60.0
REFRESH_SECONDS, LINE_SECONDS = 1.0, 10.0
LOOK_SECONDS = 0.1
PART_SECONDS = 30.0
"""How long a part that we can do without may take to start before we go on without its address."""
_WORDS = (
    ("export", "metrics"),
    ("localprom", "localprom"),
    ("dashboards serve", "live"),
    ("scale", "scaler"),
)
"""What those parts say first of the line with their address."""
EARLY = "it was ended before the server was ready"
Parts = Mapping[str, Child]
_SERVE = ("model", "data", "host", "port", "metrics_port", "workers", "device")


@click.command("up")
@settings_options(Up)
@settings_options(Serve, *_SERVE)
@settings_options(Export, "port", prefix=house.EXPORTER)
@settings_options(Localprom, "port", prefix=house.LOCALPROM)
@settings_options(
    Scale, "port", "min", "max", "bearer_file", prefix=house.SCALER, defaults=house.DEFAULTS
)
@as_json
@click.pass_context
def command(ctx: click.Context, /, as_json: bool, **options: Any) -> None:  # noqa: FBT001
    """Run everything on this machine: serve, drive a light load, meter, keep, alert, scale, and plan at the end.

    Runs until Ctrl-C, or 60 s where there is no terminal, and then prints the cost plan of what it
    has just seen. A default port that is taken is replaced by a free one. The scaler drives the
    server's workers, between 1 and as many as there are GPUs (2 on a CPU).

    \b
    Examples:
      lightmeter up
      lightmeter up --model ./Z-Image-Turbo --load 2 --duration 600
      lightmeter up --advisory                    the scaler only says what it would do
      lightmeter up --scaler-min 0                the last worker may be let go, too
      lightmeter up --prometheus http://prometheus.example.com:9090
    """
    up = settle(ctx, Up, options)
    plan = settle(ctx, Plan, {})
    check_plan(plan)

    def tell(text: str) -> None:
        click.echo(text, err=as_json)

    settled = house.settle(ctx, options, up, tell)
    began = datetime.now(UTC)
    with house.claimed(settled.serve.data):
        ready = _run(settled, tell)
    out = settled.serve.data / "report"
    document, why = _planned(settled, plan, out, began) if ready else (None, EARLY)
    if document is None:
        tell(f"\nNo plan: {why}")
    if as_json:
        click.echo(json.dumps(document, indent=2))
    elif document:
        click.echo("\nThe cost plan of what was just seen\n")
        show_plan(document, out)


def _planned(
    settled: House, plan: Plan, out: Path, began: datetime
) -> tuple[dict[str, Any] | None, str]:
    """Make the plan of what came since, or say why there is none."""
    try:
        return make_plan(settled.serve.data / "history", plan, out, since=began), ""
    except (HistoryError, PlanError) as error:
        return None, str(error)


def _run(settled: House, tell: Callable[[str], None]) -> bool:
    """Run until it is over; say whether the server was ready."""
    with contextlib.ExitStack() as stack:
        parts = {
            name: stack.enter_context(settled.start(name, section))
            for name, section in settled.children()
        }
        for part in parts.values():
            stack.callback(part.ask_to_end)  # all at once, before the first is waited for
        ours = stack.enter_context(own(settled))
        ready = asyncio.run(_session(settled, parts, tell=tell, ours=ours))
        tell("\nEnding all parts. Ctrl-C again does not wait for them.")
    return ready


async def _session(
    settled: House, parts: Parts, *, tell: Callable[[str], None], ours: Own | None
) -> bool:
    stop, up = asyncio.Event(), settled.up
    endless = up.duration == 0 and sys.stdin.isatty() and sys.stdout.isatty()
    seconds = float("inf") if endless else up.duration or SECONDS_WITHOUT_TERMINAL
    began, loop = time.monotonic(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        await _until_ready(client, parts["serve"], settled.api, stop)
        if stop.is_set():
            return False
        said = {name: await _address(parts[name], word) for name, word in _WORDS if name in parts}
        seen = short(await ours.first()) if ours else ""
        until = "Ctrl-C" if math.isinf(seconds) else f"{show_duration(seconds)} have passed"
        tell(
            f"\nReady after {time.monotonic() - began:.1f} s. "
            f"Runs until {until}, then prints the cost plan.\n{_table(settled, parts, said, seen)}\n"
        )
        if ours and ours.advice():
            tell(f"{ours.advice()}\n")
        watched = ours.followed(tell) if ours else contextlib.nullcontext()
        async with _load(settled.api, up.load, stop), watched:
            metrics = settled.pages["server"]
            reviver = Reviver({name: parts[name] for name in said}, tell)

            def look() -> None:
                parts["serve"].check()
                reviver.look()

            await _show(client, look, metrics, stop=stop, seconds=seconds, tell=tell)
    return True


async def _until_ready(
    client: httpx.AsyncClient, child: Child, api: str, stop: asyncio.Event
) -> None:
    from rich.console import Console

    with Console(stderr=True).status("loading the model"):
        while not stop.is_set():
            child.check()
            with contextlib.suppress(httpx.TransportError):
                if (await client.get(f"{api}/readyz")).is_success:
                    return
            await asyncio.sleep(LOOK_SECONDS)


async def _address(part: Child, word: str) -> str:
    """Say where a part that we can do without answers, or why it does not."""
    for _ in range(round(PART_SECONDS / LOOK_SECONDS)):
        if part.ended:
            return f"none: {part.last_words}; its log is {part.log}"
        address = part.address(word)
        if address:
            return address
        await asyncio.sleep(LOOK_SECONDS)
    return f"not yet; its log is {part.log}"


def _table(settled: House, parts: Parts, said: Mapping[str, str], seen: str) -> str:
    api, data = settled.api, settled.serve.data
    rows = [
        ("web page", f"{api}/"),
        ("live page", said.get("localprom") or said["dashboards serve"]),
        ("API", f"{api}/v1/images/generations"),
        ("API reference", f"{api}/openapi.json"),
        ("ready?", f"{api}/readyz"),
        ("metrics", settled.pages["server"]),
        ("GPUs and host", said["export"]),
        *_kept(settled, said, seen),
        ("scaler", f"{_under(said['scale'], '/v1/decisions')}  ({_scales(settled)})"),
        ("usage history", str(data / "history")),
        ("logs", str(parts["serve"].log.parent)),
    ]
    return "\n".join(f"  {name:14} {value}" for name, value in rows)


def _kept(settled: House, said: Mapping[str, str], seen: str) -> Iterator[tuple[str, str]]:
    """Say where metrics are kept."""
    if settled.localprom is None:
        yield "Prometheus", f"{without_password(settled.up.prometheus)}  ({seen})"
        return
    yield "PromQL", _under(said["localprom"], "/api/v1/query?query=up")
    yield "alerts", _under(said["localprom"], "/api/v1/alerts")


def _under(address: str, path: str) -> str:
    return f"{address}{path}" if address.startswith("http") else address


def _scales(settled: House) -> str:
    low, high = settled.scale.min, settled.scale.max
    if not settled.scale.act:
        return "advisory: it only says what it would do"
    return f"keeps {low} to {counted(high, 'worker')}" if low < high else f"keeps {counted(high, 'worker')}"  # fmt: skip


@contextlib.asynccontextmanager
async def _load(url: str, rps: float, stop: asyncio.Event) -> AsyncIterator[None]:
    from inference.load.session import light

    driver = asyncio.create_task(light(url, rps, stop, lambda _: None))
    try:
        yield
    finally:
        stop.set()
        await driver


async def _show(
    client: httpx.AsyncClient,
    look: Callable[[], None],
    metrics: str,
    *,
    stop: asyncio.Event,
    seconds: float,
    tell: Callable[[str], None],
) -> None:
    """Show live figures until the time is up, Ctrl-C, or the server's death."""
    from rich.live import Live
    from rich.table import Table

    def table(rows: list[tuple[str, str]]) -> Table:
        grid = Table.grid(padding=(0, 2))
        for row in rows:
            grid.add_row(*row)
        return grid

    screen = Live(transient=False, auto_refresh=False) if sys.stdout.isatty() else None
    end, next_line = time.monotonic() + seconds, 0.0
    first = last = await _scrape(client, metrics)
    with screen or contextlib.nullcontext():
        while time.monotonic() < end and not stop.is_set():
            look()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), min(REFRESH_SECONDS, end - time.monotonic()))
            look()
            now = await _scrape(client, metrics)
            first, last = first or now, last or now
            rows = live.figures(first, last, now) if first and last and now else [("metrics", f"cannot be read at {metrics}, which is asked again")]  # fmt: skip
            if screen:
                screen.update(table(rows), refresh=True)
                last = now or last
            elif time.monotonic() >= next_line:
                tell(live.line(rows))
                last, next_line = now or last, time.monotonic() + LINE_SECONDS


async def _scrape(client: httpx.AsyncClient, metrics: str) -> live.Scrape | None:
    """Read the figures; None from a server that is too busy to answer. One that has died is known as its process."""
    try:
        answer = await client.get(metrics)
        answer.raise_for_status()
    except httpx.HTTPError:
        return None
    return live.parse(answer.text, time.monotonic())
