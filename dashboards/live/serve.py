"""The life of a live page that stands alone: settle, listen, end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx

from dashboards.live.app import Beside, create_app
from dashboards.live.proxy import Prometheus
from lightmeter import connections, secret, tls, visitors
from lightmeter.errors import ScaleError, ServerError, SettingError
from lightmeter.listening import LOOPBACK, listen
from lightmeter.scaling.decision import check_schema
from lightmeter.section import targets
from lightmeter.settings_dashboards import Dashboards
from lightmeter.trust import believe
from lightmeter.units import url, without_password


_SCALER_SECONDS = 5.0


def serve(settings: Dashboards, tell: Callable[[str], None], *, runbook: str = "") -> None:
    """Show the boards until SIGINT or SIGTERM; ``runbook`` is Markdown.

    Raises:
        SettingError: there is no Prometheus to show, or the file of the token or of authorities cannot be used.
        PortError: the address is taken.
    """
    if not settings.prometheus:
        raise SettingError("there is no Prometheus to show; give --prometheus URL, or start everything with lightmeter up")  # fmt: skip
    connections.allow_many()
    bearer, secured = secret.word(settings.bearer_file), tls.files("dashboards", settings)
    with listen(settings.host, settings.port) as sock:
        asyncio.run(_serve(settings, bearer, sock, secured=secured, runbook=runbook, tell=tell))


async def _serve(settings: Dashboards, bearer: str, sock: socket.socket, *, secured: tls.Files | None, runbook: str, tell: Callable[[str], None]) -> None:  # fmt: skip
    trust = believe(httpx.create_ssl_context(trust_env=False), settings.ca_file, "dashboards.ca_file")  # fmt: skip
    async with httpx.AsyncClient(trust_env=False, verify=trust) as client:
        beside = Beside(
            runbook=runbook,
            decisions=decisions_of(client, settings.scaler) if settings.scaler else None,
            report=settings.report,
            scrape_seconds=settings.scrape_interval,
            trace_url=settings.trace_url,
            places={place.name: place.url for place in targets(settings.places)},
        )
        scheme = "https" if secured else "http"
        address, port = sock.getsockname()[:2]
        prometheus = Prometheus(client, settings.prometheus, bearer, tell)
        app = visitors.guarded(create_app(prometheus, beside), settings)
        server = connections.Ending(connections.config(app, secured, timeout_graceful_shutdown=5))
        tell(f"live page   {url(address, port, scheme)}/  (of {without_password(settings.prometheus)})")  # fmt: skip
        if settings.host not in LOOPBACK:
            tell("whoever reaches this address can read all metrics; put a proxy that asks who they are in front")  # fmt: skip
        looking = asyncio.create_task(prometheus.look())
        try:
            await server.serve([sock])
        finally:
            looking.cancel()


def decisions_of(client: httpx.AsyncClient, scaler: str) -> Callable[[], Any]:
    """Make what asks a scaler for its last decisions."""
    address = f"{scaler.rstrip('/')}/v1/decisions"

    async def ask() -> Sequence[Mapping[str, Any]]:
        try:
            answer = await client.get(address, timeout=_SCALER_SECONDS)
            answer.raise_for_status()
            found: Sequence[Mapping[str, Any]] = answer.json()["decisions"]
            for one in found:
                check_schema(one)
        except ScaleError as error:
            raise ServerError(f"the scaler at {without_password(address)} is newer than this page: {error}") from error  # fmt: skip
        except (
            httpx.HTTPError,
            httpx.InvalidURL,
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
        ) as error:
            raise ServerError(f"the scaler at {without_password(address)} cannot be asked: {str(error) or type(error).__name__}") from error  # fmt: skip
        return found

    return ask
