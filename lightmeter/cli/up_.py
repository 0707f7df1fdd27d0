"""``lightmeter up``: exporter, server, load, live figures, and the cost plan of what was seen."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import click
import httpx

from lightmeter.cli import live
from lightmeter.cli.child import Child, free_port
from lightmeter.cli.options import as_json, settings_options, settle, sources
from lightmeter.cli.plan_ import check_plan, make_plan, show_plan
from lightmeter.configuration import S, Value, resolve
from lightmeter.errors import HistoryError, PlanError, ServerError
from lightmeter.settings import Serve, Up
from lightmeter.settings_export import Export
from lightmeter.settings_plan import Plan
from lightmeter.units import show_duration, url


SECONDS_WITHOUT_TERMINAL = 60.0
REFRESH_SECONDS, LINE_SECONDS = 1.0, 10.0
LOOK_SECONDS = 0.1
EXPORTER_SECONDS = 10.0
"""How long the exporter may take to start before we go on without its address."""
_EXPORTER = "exporter_"
_SERVE = ("model", "data", "host", "port", "metrics_port", "workers", "device")


@click.command("up")
@settings_options(Up)
@settings_options(Serve, *_SERVE)
@settings_options(Export, "port", prefix=_EXPORTER)
@as_json
@click.pass_context
def command(ctx: click.Context, /, as_json: bool, **options: Any) -> None:  # noqa: FBT001
    """Run everything on this machine: serve, drive a light load, meter server, GPUs and host, and plan at the end.

    Runs until Ctrl-C, or 60 s where there is no terminal, and then prints the cost plan of what it
    has just seen. A default port that is taken is replaced by a free one.

    \b
    Examples:
      lightmeter up
      lightmeter up --model ./Z-Image-Turbo --load 2 --duration 600
    """
    up = settle(ctx, Up, options)
    plan = settle(ctx, Plan, {})
    check_plan(plan)

    def tell(text: str) -> None:
        click.echo(text, err=as_json)

    ports = _Ports(ctx, tell)
    serve = ports.settle(Serve, options, "port", "metrics_port")
    export = ports.settle(Export, options, "port", prefix=_EXPORTER)
    if not serve.exporter_url and not export.web_config:
        address = f"{url(export.host, export.port)}/metrics"
        serve = serve.model_copy(update={"exporter_url": address})
    began = datetime.now(UTC)
    _run(up, serve, export, tell)
    out = serve.data / "report"
    document: dict[str, Any] | None
    try:
        document = make_plan(serve.data / "history", plan, out, since=began)
    except (HistoryError, PlanError) as error:
        tell(f"\nNo plan: {error}")
        document = None
    if as_json:
        click.echo(json.dumps(document, indent=2))
    elif document:
        click.echo("\nThe cost plan of what was just seen\n")
        show_plan(document, out)


class _Ports:
    """Moves ports that nobody asked for out of the way of other programs, and of each other."""

    def __init__(self, ctx: click.Context, tell: Callable[[str], None]) -> None:
        self._ctx = ctx
        self._tell = tell
        self._taken: list[int] = []

    def settle(self, kind: type[S], options: Mapping[str, Any], *ports: str, prefix: str = "") -> S:
        """Settle a section whose options bear a prefix.

        Raises:
            PortError: a port that was asked for is taken.
        """
        given = {key: options.get(prefix + key) for key in kind.model_fields}
        settled, values = resolve(kind, sources(self._ctx), given)
        host = str(settled.model_dump()["host"])
        moved = {
            value.key: self._port(host, value, prefix) for value in values if value.key in ports
        }
        return settled.model_copy(update=moved)

    def _port(self, host: str, value: Value, prefix: str) -> int:
        option = "--" + (prefix + value.key).replace("_", "-")
        port = free_port(
            host, value.value, option, move=value.origin == "default", taken=self._taken
        )
        self._taken.append(port)
        if value.value not in (port, 0):
            self._tell(f"port {value.value} is taken, using {port} for {option}")
        return port


@dataclass(frozen=True)
class _Addresses:
    api: str
    metrics: str


def _run(up: Up, serve: Serve, export: Export, tell: Callable[[str], None]) -> None:
    endless = up.duration == 0 and sys.stdin.isatty() and sys.stdout.isatty()
    seconds = float("inf") if endless else up.duration or SECONDS_WITHOUT_TERMINAL
    addresses = _Addresses(
        url(serve.host, serve.port), f"{url(serve.host, serve.metrics_port)}/metrics"
    )
    began, logs = time.monotonic(), serve.data / "logs"
    with Child("export", export, logs) as exporter, Child("serve", serve, logs) as child:
        asyncio.run(
            _session(
                up,
                serve,
                child,
                exporter=exporter,
                addresses=addresses,
                seconds=seconds,
                began=began,
                tell=tell,
            )
        )


async def _session(
    up: Up,
    serve: Serve,
    child: Child,
    *,
    exporter: Child,
    addresses: _Addresses,
    seconds: float,
    began: float,
    tell: Callable[[str], None],
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        await _until_ready(client, child, addresses, stop)
        if stop.is_set():
            return
        machine = await _machine(exporter)
        until = "Ctrl-C" if math.isinf(seconds) else f"{show_duration(seconds)} have passed"
        tell(
            f"\nReady after {time.monotonic() - began:.1f} s. "
            f"Runs until {until}, then prints the cost plan.\n"
            f"{_table(serve, addresses, child, machine)}\n"
        )
        async with _load(addresses.api, up.load, stop):
            await _show(client, child, addresses, stop=stop, seconds=seconds, tell=tell)


async def _until_ready(
    client: httpx.AsyncClient, child: Child, addresses: _Addresses, stop: asyncio.Event
) -> None:
    from rich.console import Console

    with Console(stderr=True).status("loading the model"):
        while not stop.is_set():
            child.check()
            with contextlib.suppress(httpx.TransportError):
                if (await client.get(f"{addresses.api}/readyz")).is_success:
                    return
            await asyncio.sleep(LOOK_SECONDS)


async def _machine(exporter: Child) -> str:
    """Say where the exporter's metrics are, or why they are nowhere; we do without."""
    for _ in range(round(EXPORTER_SECONDS / LOOK_SECONDS)):
        if exporter.ended:
            return f"none: {exporter.last_words}; its log is {exporter.log}"
        address = exporter.address("metrics")
        if address:
            return address
        await asyncio.sleep(LOOK_SECONDS)
    return f"not yet; the exporter's log is {exporter.log}"


def _table(serve: Serve, addresses: _Addresses, child: Child, machine: str) -> str:
    rows = (
        ("web page", f"{addresses.api}/"),
        ("API", f"{addresses.api}/v1/images/generations"),
        ("API reference", f"{addresses.api}/openapi.json"),
        ("ready?", f"{addresses.api}/readyz"),
        ("metrics", addresses.metrics),
        ("GPUs and host", machine),
        ("usage history", str(serve.data / "history")),
        ("server log", str(child.log)),
    )
    return "\n".join(f"  {name:14} {value}" for name, value in rows)


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
    child: Child,
    addresses: _Addresses,
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
    first = last = await _scrape(client, addresses)
    with screen or contextlib.nullcontext():
        while time.monotonic() < end and not stop.is_set():
            child.check()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), min(REFRESH_SECONDS, end - time.monotonic()))
            child.check()
            now = await _scrape(client, addresses)
            rows = live.figures(first, last, now)
            if screen:
                screen.update(table(rows), refresh=True)
                last = now
            elif now.at >= next_line:
                tell(live.line(rows))
                last, next_line = now, now.at + LINE_SECONDS


async def _scrape(client: httpx.AsyncClient, addresses: _Addresses) -> live.Scrape:
    try:
        answer = await client.get(addresses.metrics)
        answer.raise_for_status()
    except httpx.HTTPError as error:
        raise ServerError(
            f"metrics at {addresses.metrics} cannot be read ({type(error).__name__}); is the server alive?"
        ) from error
    return live.parse(answer.text, time.monotonic())
