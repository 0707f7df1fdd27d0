"""The live page: boards, alerts, decisions, runbook and report, as an ASGI application."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from dashboards.boards import all_boards
from dashboards.live import assets, home, report, runbook
from dashboards.live.assets import Asset, asset
from dashboards.live.guard import Guard
from dashboards.render import dashboard
from lightmeter.errors import LightmeterError


RUNBOOK = "/runbook"
Decisions = Callable[[], Awaitable[Sequence[Mapping[str, Any]]]]


@dataclass(frozen=True)
class Beside:
    """What the page shows beside the metrics, as far as it is there."""

    runbook: str = ""
    """Markdown with a heading of the third level for each alert."""
    decisions: Decisions | None = None
    """Gives the scaler's last decisions, the oldest first; raises LightmeterError where it cannot."""
    report: Path | None = None
    """Folder of the cost report; it may appear later."""
    scrape_seconds: float = 15.0
    """How often metrics are scraped; rates are taken over four scrapes at least."""
    trace_url: str = ""
    """Where a trace is shown; ``{trace_id}`` in it stands for its id."""
    places: Mapping[str, str] = field(default_factory=dict)
    """Other pages of this installation by name: the server's own, for example."""


def create_app(api: ASGIApp, beside: Beside | None = None) -> Starlette:
    """Make the application.

    ``api`` answers ``/api/v1/...`` and ``/-/...`` as Prometheus does: ``Engine.app()`` of
    `lightmeter.localprom`, or ``proxy.Prometheus`` for one elsewhere. The result takes its place:
    Grafana can be pointed at it as well.
    """
    given = beside or Beside()
    files = assets.files()
    shell, waiting = files.pop("index.html"), files.pop("report.html").data.decode()
    book = asset(runbook.page(given.runbook, files.pop("runbook.html").data.decode()).encode(), ".html")  # fmt: skip
    boards = _boards()
    routes = [
        Route("/api/v1/{rest:path}", api),
        Route("/-/{rest:path}", api),
        Route("/healthz", _healthz),
        *(Route(path, _serving(shell)) for path in ("/", "/alerts", "/decisions")),
        *(
            Route(path, _board(shell, frozenset(boards)))
            for path in ("/d/{uid}", "/d/{uid}/{slug}")
        ),
        Route(RUNBOOK, _serving(book)),
        *(Route(f"/live/{name}", _serving(file)) for name, file in files.items()),
        *(Route(f"/live/boards/{uid}.json", _serving(file)) for uid, file in boards.items()),
        Route("/live/about.json", _about(given)),
        Route("/live/decisions", _decisions(given.decisions)),
    ]
    if given.report is not None:
        routes.append(Route("/report/{name:path}", report.answering(given.report, waiting)))
    handlers = {404: _not_found}
    middleware = [Middleware(Guard), Middleware(GZipMiddleware, minimum_size=1000, compresslevel=4)]
    return Starlette(routes=routes, middleware=middleware, exception_handlers=handlers)


def _boards() -> dict[str, Asset]:
    made = {str(one.board): dashboard(one, RUNBOOK) for one in all_boards()}
    every = {**made, home.UID: home.board(made)}
    return {uid: asset(json.dumps(one, ensure_ascii=False).encode(), ".json") for uid, one in every.items()}  # fmt: skip


def _serving(file: Asset) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        return file.answer(request)

    return answer


def _board(shell: Asset, known: frozenset[str]) -> Callable[[Request], Awaitable[Response]]:
    """Serve the page of a board; of one that is not there the page says so itself."""

    async def answer(request: Request) -> Response:
        if request.path_params["uid"] in known:
            return shell.answer(request)
        return Response(shell.data, 404, media_type=shell.kind)

    return answer


async def _healthz(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


def _about(given: Beside) -> Callable[[Request], Awaitable[Response]]:
    """Tell the page's script what there is beside the metrics."""
    boards = [{"uid": str(one.board), "title": one.title.partition(" / ")[2], "about": one.about} for one in all_boards()]  # fmt: skip

    async def answer(_: Request) -> Response:
        return JSONResponse(
            {
                "boards": boards,
                "scrape_seconds": given.scrape_seconds,
                "trace_url": given.trace_url,
                "decisions": given.decisions is not None,
                "report": given.report is not None,
                "places": dict(given.places),
            },
            headers={"Cache-Control": "no-store"},
        )

    return answer


def _decisions(ask: Decisions | None) -> Callable[[Request], Awaitable[Response]]:
    async def answer(_: Request) -> Response:
        if ask is None:
            return _refused(404, "no scaler is known here; give --scaler URL")
        try:
            return JSONResponse({"decisions": list(await ask())}, headers={"Cache-Control": "no-store"})  # fmt: skip
        except LightmeterError as error:
            return _refused(502, str(error))

    return answer


async def _not_found(request: Request, _: Exception) -> Response:
    path = request.url.path
    return _refused(404, f"{path[:200]} is nothing here; begin at /")


def _refused(status: int, reason: str) -> Response:
    return JSONResponse({"error": reason}, status)
