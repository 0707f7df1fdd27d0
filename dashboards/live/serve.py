"""The life of a live page that stands alone: settle, listen, end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from dashboards.live.app import Beside, create_app
from dashboards.live.proxy import Prometheus
from lightmeter import tls
from lightmeter.errors import ServerError, SettingError, explain, port_error
from lightmeter.settings_dashboards import Dashboards
from lightmeter.units import url, without_password


_SCALER_SECONDS = 5.0


def serve(settings: Dashboards, tell: Callable[[str], None], *, runbook: str = "") -> None:
    """Show the boards until SIGINT or SIGTERM; ``runbook`` is Markdown.

    Raises:
        SettingError: there is no Prometheus to show, or the token's file cannot be used.
        PortError: the address is taken. DashboardError: the charting library is not installed.
    """
    if not settings.prometheus:
        raise SettingError("there is no Prometheus to show; give --prometheus URL, or start everything with lightmeter up")  # fmt: skip
    bearer, secured = _token(settings.bearer_file), tls.files("dashboards", settings)
    with _listen(settings.host, settings.port) as sock:
        asyncio.run(_serve(settings, bearer, sock, secured=secured, runbook=runbook, tell=tell))


async def _serve(settings: Dashboards, bearer: str, sock: socket.socket, *, secured: tls.Files | None, runbook: str, tell: Callable[[str], None]) -> None:  # fmt: skip
    async with httpx.AsyncClient(trust_env=False) as client:
        beside = Beside(
            runbook=runbook,
            decisions=decisions_of(client, settings.scaler) if settings.scaler else None,
            report=settings.report,
            scrape_seconds=settings.scrape_interval,
            trace_url=settings.trace_url,
        )
        scheme = "https" if secured else "http"
        address, port = sock.getsockname()[:2]
        app = create_app(Prometheus(client, settings.prometheus, bearer), beside)
        server = _Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", ws="none", timeout_graceful_shutdown=5, ssl_context_factory=tls.factory(secured)))  # fmt: skip
        tell(f"live page   {url(address, port, scheme)}/  (of {without_password(settings.prometheus)})")  # fmt: skip
        if settings.host not in ("localhost", "127.0.0.1", "::1"):
            tell("whoever reaches this address can read all metrics; put a proxy that asks who they are in front")  # fmt: skip
        await server.serve([sock])


class _Server(uvicorn.Server):
    """Uvicorn with the signals left to us, so that a clean stop ends with exit code 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        def stop(*_: object) -> None:
            self.should_exit = True

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        yield


def decisions_of(client: httpx.AsyncClient, scaler: str) -> Callable[[], Any]:
    """Make what asks a scaler for its last decisions."""
    address = f"{scaler.rstrip('/')}/v1/decisions"

    async def ask() -> Sequence[Mapping[str, Any]]:
        try:
            answer = await client.get(address, timeout=_SCALER_SECONDS)
            answer.raise_for_status()
            found: Sequence[Mapping[str, Any]] = answer.json()["decisions"]
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as error:
            raise ServerError(f"the scaler at {without_password(address)} cannot be asked: {str(error) or type(error).__name__}") from error  # fmt: skip
        return found

    return ask


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        raise port_error(host, port, "--port", error) from error


def _token(path: Path | None) -> str:
    """Read a token of one line.

    Raises:
        SettingError: naming the file, never what is in it.
    """
    if path is None:
        return ""
    try:
        text = path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise SettingError(f"token file {str(path)!r} {explain(error)}") from error
    except UnicodeDecodeError as error:
        raise SettingError(f"token file {str(path)!r} is no ASCII text") from error
    if not text or "\n" in text:
        raise SettingError(f"token file {str(path)!r} must hold one line")
    return text
