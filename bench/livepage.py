"""Charting libraries inside Python packages: what a browser must load, and when the first panel is there.

The same panels, four lines of 240 points each, drawn by each library that is installed, from this
machine, nothing in the browser's cache; and our page over localprom. For the others:
``pip install --no-deps --target DIR plotly bokeh`` and ``PYTHONPATH=DIR``.
"""

from __future__ import annotations

import importlib.util
import shutil
import statistics
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from playwright.sync_api import Browser, sync_playwright
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from bench import common
from dashboards.live.app import create_app


ROUNDS = 5
PANELS = 12
WEIGHT_LIMIT, TIME_LIMIT = 1 / 5, 1.0
"""Of the best other: bytes on the way, and time to the first panel."""
PAGE_BYTES = 150_000
"""Of the whole live page, on the way."""
OURS, CHOSEN = "the live page", "uPlot"
UPLOT = """
const draw = (box, xs, rows) => new uPlot({width: 400, height: 200, series: [{}, ...rows.map((_, i) => ({label: "s" + i, stroke: "#a85b00"}))]}, [xs, ...rows], box);
"""
BOKEH = """
const draw = (box, xs, rows) => {
  const p = Bokeh.Plotting.figure({width: 400, height: 200, x_axis_type: "datetime"});
  for (const row of rows) p.line(xs, row);
  return Bokeh.Plotting.show(p, box);
};
"""
PLOTLY = """
const draw = (box, xs, rows) => Plotly.newPlot(box, rows.map((y) => ({x: xs, y, mode: "lines"})), {width: 400, height: 200});
"""
KINDS: Mapping[str, tuple[str, tuple[str, ...], str]] = {
    "uPlot": ("dashboards", ("live/uplot/uPlot.iife.min.js",), UPLOT),
    "bokeh": ("bokeh", ("server/static/js/bokeh.min.js", "server/static/js/bokeh-api.min.js"), BOKEH),
    "plotly": ("plotly", ("package_data/plotly.min.js",), PLOTLY),
}  # fmt: skip
PAGE = """<!doctype html><meta charset="utf-8"><body>{scripts}<script type="module">
{draw}
const xs = Array.from({{length: 240}}, (_, i) => 1.79e9 + 15 * i);
const rows = Array.from({{length: 4}}, (_, k) => xs.map((_, i) => k + Math.sin(i / 20 + k)));
const painted = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
for (let i = 0; i < {panels}; i++) {{
  const box = document.body.appendChild(document.createElement("div"));
  await draw(box, xs, rows);
  await painted();
  if (!i) window.first = performance.now();
}}
window.all = performance.now();
</script>"""


def folder(package: str) -> Path | None:
    """Find an installed package without importing it."""
    spec = importlib.util.find_spec(package)
    return Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None  # fmt: skip


def candidate(root: Path, scripts: tuple[str, ...], draw: str) -> Starlette:
    """Serve a page that draws by one library, packed."""
    tags = "".join(f'<script src="/{number}.js"></script>' for number in range(len(scripts)))
    text = PAGE.format(scripts=tags, draw=draw, panels=PANELS)
    data = [(root / name).read_bytes() for name in scripts]

    async def page(_: Request) -> Response:
        return HTMLResponse(text)

    async def script(request: Request) -> Response:
        return Response(data[request.path_params["number"]], media_type="text/javascript")

    routes = [Route("/", page), Route("/{number:int}.js", script)]
    return Starlette(routes=routes, middleware=[Middleware(GZipMiddleware, compresslevel=9)])


@contextmanager
def served(app: Any) -> Iterator[str]:
    """Serve an application in a thread; give its address."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def visit(browser: Browser, address: str, every: str) -> dict[str, float]:
    """Open a page with nothing in the cache: bytes on the way, milliseconds to one panel and to all."""
    context = browser.new_context(viewport={"width": 1500, "height": 1200})
    page = context.new_page()
    page.goto(address)
    page.wait_for_function(every, timeout=60_000, polling=20)
    found = {
        "bytes": page.evaluate("performance.getEntriesByType('resource').filter((e) => !e.name.includes('/api/')).reduce((s, e) => s + e.encodedBodySize, performance.getEntriesByType('navigation')[0].encodedBodySize)"),
        "first_ms": page.evaluate("window.first"),
        "all_ms": page.evaluate("window.all ?? performance.now()"),
    }  # fmt: skip
    context.close()
    return found


def ours() -> Any:
    """Make the live page over a store with an hour of everything."""
    common.support()
    from support.livestore import filled

    return create_app(filled())


WATCH = """() => { if (!window.first && document.querySelector(".u-wrap canvas, .figure strong")) window.first = performance.now(); return document.querySelectorAll(".u-wrap canvas").length >= 6; }"""


def measured(browser: Browser) -> dict[str, dict[str, float]]:
    """Measure each library that is here, in turns, and our page."""
    apps: dict[str, Any] = {name: candidate(root, scripts, draw) for name, (package, scripts, draw) in KINDS.items() if (root := folder(package))}  # fmt: skip
    apps[OURS] = ours()
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in apps}
    for _ in range(ROUNDS):
        for name, app in apps.items():
            every = WATCH if name == OURS else "() => window.all"
            with served(app) as address:
                rounds[name].append(visit(browser, address, every))
    return {name: {key: statistics.median(one[key] for one in rows) for key in rows[0]} for name, rows in rounds.items()}  # fmt: skip


def missed(found: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Hold the chosen library against the best of the others, and our page against its limit."""
    others = [row for name, row in found.items() if name not in (OURS, CHOSEN)]
    made = []
    if found[OURS]["bytes"] > PAGE_BYTES:
        made.append(f"the live page is {found[OURS]['bytes']:.0f} bytes on the way; the limit is {PAGE_BYTES}")  # fmt: skip
    for key, limit in (("bytes", WEIGHT_LIMIT), ("first_ms", TIME_LIMIT)):
        if others and found[CHOSEN][key] > limit * min(row[key] for row in others):
            made.append(f"{CHOSEN}: {key} is above {limit:g} of the best other's")
    return made


def main() -> None:
    """Measure, print, judge."""
    given = common.arguments(__doc__)
    program = shutil.which("chromium")
    if program is None:
        raise SystemExit("there is no chromium here; apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        found = measured(browser)
        about = common.machine("playwright") | {"browser": browser.version}
        browser.close()
    absent = [name for name in KINDS if name not in found]
    rows = [{"drawn by": name, **row} for name, row in found.items()]
    common.finish(given, about | ({"not installed": ", ".join(absent)} if absent else {}), rows, missed(found))  # fmt: skip


if __name__ == "__main__":
    main()
