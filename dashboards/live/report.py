"""The planner's report as pages: its files and no others of their folder, or when there will be some."""

from __future__ import annotations

import html
import shlex
from collections.abc import Awaitable, Callable
from pathlib import Path
from string import Template

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response


FILES = ("report.html", "report.md", "plan.json", "report.xlsx", "options.csv", "services.csv")
"""What the planner writes; the first is shown where none is named."""


def answering(folder: Path, waiting: str) -> Callable[[Request], Awaitable[Response]]:
    """Give the report's files; until they are there, ``waiting`` with its mark ``$command``, or JSON for programs."""
    page = Template(waiting).substitute(command=html.escape(command(folder)))

    async def answer(request: Request) -> Response:
        name = request.path_params["name"] or FILES[0]
        if name in FILES and (folder / name).is_file():
            return FileResponse(folder / name, headers={"Cache-Control": "no-cache"})
        if name == FILES[0] and "text/html" in request.headers.get("accept", ""):
            return HTMLResponse(page, 404, {"Cache-Control": "no-store"})
        return JSONResponse({"error": f"there is no report yet; `lightmeter up` writes one at its end, and now does `{command(folder)}`"}, 404)  # fmt: skip

    return answer


def command(folder: Path) -> str:
    """Say what writes a report there, of the history that `lightmeter up` keeps beside it."""
    return f"lightmeter plan --history {shlex.quote(str(folder.parent / 'history'))} --out {shlex.quote(str(folder))}"  # fmt: skip
