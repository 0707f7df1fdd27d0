"""The life of a gateway: check, listen, follow the replicas, serve, drain."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import uvicorn
from prometheus_client import CollectorRegistry

from inference.aside import keep_up
from inference.gateway import upstreams
from inference.gateway.app import create_app
from inference.gateway.desk import Desk
from inference.gateway.fleet import Fleet
from inference.gateway.meters import Meters
from inference.gateway.upstreams import Address, Resolver, Upstream
from inference.gateway.waking import Waker
from inference.keys import Keys
from inference.scrapes import serving
from lightmeter import bodies, connections, secret, tls, visitors
from lightmeter.errors import SettingError
from lightmeter.listening import listen
from lightmeter.settings_gateway import Gateway
from lightmeter.trust import believe
from lightmeter.units import counted, url


SENDING_SECONDS = 5
"""Time to send the last answers, once nobody waits any more."""


def serve(settings: Gateway, tell: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM, then answer who is there.

    Raises:
        SettingError: an upstream, scaler or file cannot be used. PortError: an address is taken.
    """
    ways = Ways.read(settings)
    scheme = "https" if ways.secured else "http"
    connections.allow_many()
    with (
        listen(settings.host, settings.port, "--port") as sock,
        listen(settings.host, settings.metrics_port, "--metrics-port") as page,
    ):
        tell(f"gateway  {url(settings.host, sock.getsockname()[1], scheme)}  ({counted(len(ways.upstreams), 'upstream')}; {'wakes from zero' if ways.scalers else 'wakes nobody'})")  # fmt: skip
        tell(f"metrics  {url(settings.host, page.getsockname()[1], scheme)}/metrics")
        asyncio.run(_run(ways, sock, page))


@dataclass(frozen=True)
class Ways:
    """What the settings name, read and checked: replicas, scalers, their token, keys."""

    settings: Gateway
    upstreams: tuple[Upstream, ...]
    scalers: tuple[Address, ...]
    token: str
    keys: Keys
    trust: ssl.SSLContext
    """The authorities of servers and scalers that speak TLS."""
    secured: tls.Files | None

    @classmethod
    def read(cls, settings: Gateway) -> Self:
        """Read them.

        Raises:
            SettingError: one cannot be used; naming it.
        """
        return cls(
            settings,
            upstreams.parse(settings.upstream),
            _scalers(settings.wake),
            secret.first(settings.wake_token_file),
            Keys.read(settings.keys),
            believe(ssl.create_default_context(), settings.ca_file, "gateway.ca_file"),
            tls.files("gateway", settings),
        )


def _scalers(text: str) -> tuple[Address, ...]:
    """Read the scalers' addresses.

    Raises:
        SettingError: one is no address.
    """
    if not text.strip():
        return ()
    found = upstreams.parse(text.replace("/v1/wake", ""))
    if not all(isinstance(one, Address) for one in found):
        raise SettingError(f"gateway.wake is {text!r}; write the scaler's address, like http://127.0.0.1:9402")  # fmt: skip
    return tuple(one for one in found if isinstance(one, Address))


@dataclass(frozen=True)
class Gate:
    """A gateway's parts, put together on a running event loop."""

    settings: Gateway
    fleet: Fleet
    waker: Waker
    desk: Desk
    server: uvicorn.Server

    @classmethod
    def open(cls, ways: Ways, meters: Meters) -> Self:
        """Put them together; nothing is asked yet."""
        settings = ways.settings
        fleet = Fleet(
            Resolver(ways.upstreams),
            each=settings.in_flight,
            probe=settings.probe,
            trust=ways.trust,
        )
        waker = Waker(
            ways.scalers,
            ways.token,
            demand=lambda: desk.demand(),  # noqa: PLW0108  (the desk comes after)
            wanted=lambda: desk.wanted,
            trust=ways.trust,
        )
        waker.asked = meters.waked
        desk = Desk(settings, fleet, waker, meters)
        meters.watch(
            depth=desk.queue.depth,
            users=desk.users,
            replicas=lambda state: fleet.states()[state],
        )
        config = connections.config(
            visitors.guarded(create_app(settings, desk, meters, ways.keys), settings),
            ways.secured,
            proxy_headers=False,
            timeout_graceful_shutdown=SENDING_SECONDS,
        )
        return cls(settings, fleet, waker, desk, connections.Server(config))

    async def serve(self, sock: socket.socket) -> None:
        """Serve until the server is told to end."""
        beside = [
            keep_up("the look at the replicas", self.fleet.follow),
            keep_up("the desk", self.desk.keep),
        ]
        try:
            await self.server.serve(sockets=[sock])
        finally:
            for task in beside:
                task.cancel()
            await self.waker.close()
            await self.fleet.close()


async def _run(ways: Ways, sock: socket.socket, page: socket.socket) -> None:
    registry = CollectorRegistry()
    gate = Gate.open(ways, Meters(registry, ways.settings.service))
    draining: list[asyncio.Task[None]] = []

    def stop() -> None:
        gate.server.force_exit = gate.desk.door.draining  # the second signal does not wait
        gate.server.should_exit |= gate.desk.door.draining
        draining.append(asyncio.create_task(_drain(gate.desk, gate.server, ways.settings.drain)))

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    with serving(page, registry, ways.secured):  # not before the first scrape finds all of it
        await gate.serve(sock)


async def _drain(desk: Desk, server: uvicorn.Server, seconds: float) -> None:
    """Answer 503 to whoever comes, until what was accepted is done or the time is up."""
    try:
        desk.door.draining = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await desk.inside.nobody()
        desk.close()
        bodies.stop_reading()
    finally:
        server.should_exit = True  # whatever happens: who sent the signal waits for the end
