"""``lightmeter localprom``."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import click

from lightmeter.cli.dashboards_ import runbook_text
from lightmeter.cli.options import settings_options, settle
from lightmeter.cli.rules_ import leading_to, objectives
from lightmeter.cli.written import put
from lightmeter.section import targets
from lightmeter.settings_localprom import Localprom
from lightmeter.units import url


if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.types import ASGIApp

    from alerts.objectives import Slo
    from lightmeter.localprom.engine import Engine


_log = logging.getLogger(__name__)


@click.command("localprom")
@settings_options(Localprom)
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Keep metrics without a Prometheus: scrape, keep, evaluate our rules, answer PromQL, show the boards.

    \b
    Examples:
      lightmeter localprom
      lightmeter localprom --targets server=http://gpu-1:7861/metrics --scaler http://127.0.0.1:9402
      curl -s localhost:9090/api/v1/query --data-urlencode 'query=up'
    """
    from lightmeter import connections, tls, visitors
    from lightmeter.listening import listen
    from lightmeter.localprom import server

    settings = settle(ctx, Localprom, options)
    secured = tls.files("localprom", settings)
    with listen(settings.host, settings.port) as sock:
        address = url(settings.host, sock.getsockname()[1], "https" if secured else "http")
        slo = leading_to(objectives(settings.slo), address, settings.interval)
        engine = _engine(settings, slo, address)
        click.echo(f"localprom  {address}")
        app = visitors.guarded(_application(engine, settings), settings)
        connections.allow_many()
        server.serve(engine, app, sock, secured)


def _engine(settings: Localprom, slo: Slo, address: str) -> Engine:
    from alerts import files
    from lightmeter.localprom.engine import Engine, Plan
    from lightmeter.localprom.scrape import Target

    folder = settings.data / "metrics"
    texts, _ = files.generate(("recommended",), slo, ("prometheus",), {})
    put(folder / "rules", texts, "--data")
    own = (
        [] if settings.tls_cert_file else [("localprom", f"{address}/metrics")]
    )  # of its own certificate it knows no authority
    asked = [*targets(settings.targets), *own]
    timeout = min(4.0, settings.interval)
    plan = Plan(
        targets=[Target(page, job, {}, settings.interval, timeout) for job, page in asked],
        rule_files=[folder / "rules" / name for name in texts],
        folder=folder / "samples",
        retention_seconds=settings.retention,
        most_series=settings.most_series,
        rule_interval_seconds=settings.rule_interval,
        alertmanager_url=settings.alertmanager,
        webhook_url=f"{settings.scaler.rstrip('/')}/v1/alerts" if settings.scaler else "",
        webhook_token_file=settings.scaler_token_file,
    )
    return Engine(plan, said=_log.warning)


def _application(engine: Engine, settings: Localprom) -> Starlette:
    """Put together what is answered: Prometheus's API with the live page, and our own metrics."""
    from prometheus_client import CollectorRegistry, ProcessCollector
    from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Mount, Route

    registry = CollectorRegistry()
    ProcessCollector(registry=registry)

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return Starlette(routes=[Route("/metrics", metrics), Mount("/", _page(engine.app(), settings))])


def _page(api: ASGIApp, settings: Localprom) -> ASGIApp:
    """Put the live page in front of the API."""
    import httpx

    from dashboards.live.app import Beside, create_app
    from dashboards.live.serve import decisions_of

    client = httpx.AsyncClient(trust_env=False)
    beside = Beside(
        runbook=runbook_text(),
        decisions=decisions_of(client, settings.scaler) if settings.scaler else None,
        report=settings.data / "report",
        scrape_seconds=settings.interval,
        places={place.name: place.url for place in targets(settings.places)},
    )
    return create_app(api, beside)
