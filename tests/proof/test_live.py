"""The live page in a real browser: every board drawn, usable by keyboard and by everybody, silent in the console."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright
from starlette.applications import Starlette

from dashboards.live.app import Beside, create_app
from lightmeter.catalog import Board
from lightmeter.localprom.api import Api
from lightmeter.localprom.keep import Keeper
from lightmeter.localprom.store import Store
from support.debian import need
from support.livestore import TRACE, filled


pytestmark = [pytest.mark.proof, pytest.mark.timeout(300)]
RUNBOOK = (Path(__file__).parents[2] / "alerts" / "runbook.md").read_text()
BOARDS = tuple(f"/d/{board}" for board in Board)
PAGES = ("/", *BOARDS, "/alerts", "/decisions", "/runbook")
LISTS = ("/alerts", "/decisions", "/runbook")
SHOWN = "async () => { for (const one of document.querySelectorAll('.panel')) { one.scrollIntoView(); await new Promise((done) => requestAnimationFrame(() => setTimeout(done, 20))); } }"
STATES = """() => [...document.querySelectorAll('.panel')].map((one) => ({
    title: one.querySelector('h3').textContent, empty: one.classList.contains('empty'),
    trouble: one.querySelector('.trouble')?.textContent ?? '', words: one.querySelector('.nothing')?.textContent ?? '',
    canvases: one.querySelectorAll('canvas').length,
    drawn: one.querySelectorAll('canvas, .figure strong, .bars li, .states li, tbody tr').length,
    ink: [...one.querySelectorAll('canvas')].some((each) => { const data = each.getContext('2d').getImageData(0, 0, each.width, each.height).data; return data.some((value, at) => at % 4 === 3 && value > 0); }),
}))"""
EMPTY = {"Alerts that fire": "Nothing fires", "Error budget lasts for": "Nothing fails", "Drift since yesterday": "No"}  # fmt: skip
"""What may have nothing over made-up data, and how its words begin."""
CONSTANT = {"Spend against budget"}
"""Draws what was typed in."""
AHEAD_SECONDS = 400
"""What is made up goes on while the tests run."""
SERIOUS = ("serious", "critical")


async def decisions() -> Sequence[Mapping[str, Any]]:
    """Tell of a scaler that wanted to go up ten minutes ago, and again, and then held."""
    shared = {"target": "shop", "chosen_term": "backlog", "mode": "advisory", "result": None}
    up = {"id": "one", "at": time.time() - 600, "from": 1, "to": 2, "action": "up", "reason": "4 requests wait for 12 s"}  # fmt: skip
    again = shared | up | {"id": "two", "at": time.time() - 585}
    return [shared | up, again, again | {"id": "three", "action": "hold", "to": 1, "reason": "calm"}]  # fmt: skip


class Site:
    """An application on a free port."""

    def __init__(self, app: Starlette) -> None:
        self._server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))  # fmt: skip
        self._thread = threading.Thread(target=self._server.run)

    def __enter__(self) -> str:
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        return f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    beside = Beside(runbook=RUNBOOK, decisions=decisions, trace_url="http://127.0.0.1:1/{trace_id}")
    with Site(create_app(filled(now=time.time() + AHEAD_SECONDS), beside)) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = need("chromium", "chromium")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield running
        running.close()


class Reader:
    """Somebody with a fresh browser, and what the console said."""

    def __init__(self, browser: Browser, address: str, **context: Any) -> None:
        context.setdefault("viewport", {"width": 1500, "height": 1200})
        self.context = browser.new_context(base_url=address, **context)
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _hear(self, said: ConsoleMessage) -> None:
        if said.type in ("error", "warning"):
            self.complaints.append(said.text)

    def read(self, path: str) -> list[dict[str, Any]]:
        """Open an address, look at all of it, and tell what each panel shows."""
        self.page.goto(path)
        self.page.wait_for_selector("#grid > *, #contents li")
        self.page.evaluate(SHOWN)
        self.page.wait_for_function("() => [...document.querySelectorAll('.panel')].every((one) => !one.classList.contains('loading') && one.querySelector('.body').childElementCount)", timeout=60_000)  # fmt: skip
        found: list[dict[str, Any]] = self.page.evaluate(STATES)
        return found


@pytest.fixture
def reader(browser: Browser, site: str) -> Iterator[Reader]:
    one = Reader(browser, site)
    yield one
    one.context.close()


@pytest.mark.parametrize("path", ["/", *BOARDS])
def test_drawn(reader: Reader, path: str) -> None:
    """Every panel draws its data, or says in words why there is none; nothing is in trouble."""
    panels = reader.read(f"{path}?from=now-30m&to=now")

    assert panels
    for panel in panels:
        assert not panel["trouble"], panel
        if panel["empty"]:
            assert panel["words"].startswith(EMPTY.get(panel["title"], "\0")), panel
            assert len(panel["words"]) > len(panel["title"])
        else:
            assert panel["drawn"], panel
    assert [] == [panel["title"] for panel in panels if panel["canvases"] and not panel["ink"]]
    assert any(panel["canvases"] for panel in panels)
    assert [] == reader.complaints


@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("path", PAGES)
def test_accessible(browser: Browser, site: str, path: str, scheme: Any) -> None:
    """Nothing serious stands in anybody's way, in the dark and in the light."""
    reader = Reader(browser, site, color_scheme=scheme)
    reader.read(path)
    found = Axe().run(reader.page).response["violations"]

    assert [] == [(one["id"], [node["html"][:200] for node in one["nodes"]][:3]) for one in found if one["impact"] in SERIOUS]  # fmt: skip
    assert [] == reader.complaints
    reader.context.close()


def test_keyboard(reader: Reader) -> None:
    """Panels are walked through, shown alone, explained and read as tables without a mouse."""
    reader.read(f"/d/{Board.LATENCY}?from=now-30m&to=now")
    page, press = reader.page, reader.page.keyboard.press
    press("j")
    press("j")
    title = page.evaluate("document.activeElement.querySelector('h3').textContent")
    press("i")
    expect(page.locator(".about:popover-open")).to_contain_text("Normal:")
    press("Escape")
    press("e")
    expect(page.locator(".panel:focus table")).to_contain_text("mean")
    press("e")
    press("ArrowLeft")
    press("ArrowLeft")
    expect(page.locator("#said")).to_contain_text(" s")
    expect(page.locator("#tip")).to_be_visible()
    press("v")
    expect(page.locator(".panel")).to_have_count(1)
    assert "viewPanel=" in page.url
    expect(page.locator(".panel h3")).to_have_text(title)
    press("Escape")
    assert "viewPanel=" not in page.url
    press("?")
    expect(page.locator("#help")).to_be_visible()
    press("Escape")
    press("3")
    page.wait_for_url(f"**/d/{Board.FLEET}*")

    assert [] == reader.complaints


def test_keys_can_be_off(reader: Reader) -> None:
    """Whoever types letters by voice can switch single keys off, and that is remembered."""
    reader.read("/")
    reader.page.click("#help-open")
    reader.page.uncheck("#keys-on")
    reader.page.keyboard.press("Escape")
    reader.page.reload()
    reader.page.wait_for_selector(".panel")
    reader.page.keyboard.press("a")

    assert reader.page.url.endswith("/")


def test_address(reader: Reader) -> None:
    """The address carries time and choices, back goes back, and a link of an alert shows its panel."""
    reader.read(f"/d/{Board.OVERVIEW}?viewPanel=12&from=now-30m&to=now&var-service=shop")
    page = reader.page
    expect(page.locator(".panel")).to_have_count(1)
    expect(page.locator("#choices summary").first).to_have_text("Service: shop")
    page.select_option("#range", "15m")
    assert "from=now-15m" in page.url
    page.locator("summary", has_text="Service").click()
    page.get_by_label("studio").check()
    page.wait_for_url("**var-service=shop&var-service=studio*")
    page.go_back()
    page.go_back()
    expect(page.locator("#range option:checked")).to_have_text("last 30m")
    page.locator("#boards a", has_text="GPU fleet").click()
    page.wait_for_url("**var-service=shop*")

    assert "viewPanel" not in page.url
    assert [] == reader.complaints


def test_zoom_and_crosshair(reader: Reader) -> None:
    """A drag looks closer on all panels; the cursor is on all of them, its box on one, with values."""
    reader.read(f"/d/{Board.LATENCY}?from=now-30m&to=now")
    page = reader.page
    page.evaluate("scrollTo(0, 0)")
    first = page.locator(".u-over").first
    first.hover(position={"x": 120, "y": 40})
    expect(page.locator("#tip")).to_contain_text("p95")
    shown = page.evaluate("[...document.querySelectorAll('.u-cursor-x')].filter((one) => one.style.transform.includes('translate') && !one.style.transform.includes('-10px')).length")  # fmt: skip
    box = first.bounding_box()
    assert box
    page.mouse.move(box["x"] + 60, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 160, box["y"] + 60, steps=4)
    page.mouse.up()
    page.wait_for_url("**from=1*")

    assert shown > 1
    assert [] == reader.complaints


def test_exemplars_lead_to_traces(reader: Reader) -> None:
    """A request's dot opens its trace where traces are shown."""
    reader.read(f"/d/{Board.LATENCY}?from=now-1h&to=now&viewPanel=20")
    page = reader.page
    place = page.evaluate("(() => { const one = document.querySelector('.panel').panel; const dot = one.exemplars.find((each) => one.drawn.valToPos(each.value, 'y') > 5); const box = one.drawn.over.getBoundingClientRect(); return [box.left + one.drawn.valToPos(dot.at, 'x'), box.top + one.drawn.valToPos(dot.value, 'y')]; })()")  # fmt: skip
    page.mouse.move(*place)
    expect(page.locator("#tip")).to_contain_text(TRACE)
    with reader.context.expect_event("request", lambda request: TRACE in request.url) as asked:
        page.mouse.click(*place)

    assert f"http://127.0.0.1:1/{TRACE}" == asked.value.url


def test_marks_tell_why(reader: Reader) -> None:
    """A scaling decision stands in the list of marks with its reason."""
    reader.read(f"/d/{Board.CAPACITY}?from=now-30m&to=now")
    reader.page.locator("summary", has_text="Marks").click()

    expect(reader.page.locator("#marks-list")).to_contain_text("4 requests wait for 12 s")


def test_lists(reader: Reader) -> None:
    """Alerts that are watched link to the runbook; a runbook's anchor is found in any case."""
    reader.read("/alerts")
    reader.page.locator("summary", has_text="What is watched").click()
    reader.page.locator("details.all a").first.click()
    reader.page.wait_for_url("**/runbook#*")
    reader.read("/runbook#LightmeterNoWorkerReady")
    expect(reader.page.locator("#lightmeternoworkerready")).to_be_in_viewport()
    reader.read("/decisions")
    expect(reader.page.locator("tbody tr")).to_have_count(2)
    expect(reader.page.locator("tbody tr").last).to_contain_text("2 times since")
    reader.page.check("#changes")

    expect(reader.page.locator("tbody tr")).to_have_count(1)
    assert [] == reader.complaints


def test_unknown_addresses(reader: Reader) -> None:
    """A board or an entry of the runbook that is not there is said, and so are times that are none."""
    reader.page.goto("/d/nothing")
    expect(reader.page.locator("#trouble")).to_contain_text("no such board")
    reader.page.goto("/runbook#nothing")
    expect(reader.page.locator("#lost")).to_contain_text("no entry for nothing")
    reader.complaints.clear()  # the browser's own line on status 404
    panels = reader.read(f"/d/{Board.OVERVIEW}?from=never&to=ever&viewPanel=99")

    assert len(panels) > 1
    assert not [panel for panel in panels if panel["trouble"]]
    assert [] == reader.complaints


def test_one_line_alone(reader: Reader) -> None:
    """A click in the legend shows one line; the focus stays on it, also when the panel is asked again."""
    reader.read(f"/d/{Board.LATENCY}?from=now-30m&to=now&viewPanel=20")
    page = reader.page
    page.get_by_role("button", name="p95").click()
    expect(page.locator(".legend [aria-pressed=true]")).to_have_count(1)
    page.keyboard.press("r")
    page.wait_for_timeout(500)

    assert "p95" in page.evaluate("document.activeElement.textContent")


VALUES = [
    (0.1234, "percentunit", "12.3 %"), (0.0421, "s", "42.1 ms"), (95, "s", "1.58 mins"), (4096, "bytes", "4 KiB"),
    (1980e6, "hertz", "1.98 GHz"), (300, "watt", "300 W"), (38, "celsius", "38 °C"), (2, "count:workers", "2 workers"),
    (1, "count:workers", "1 worker"), (1, "count:replicas", "1 replica"), (1, "suffix: batches/s", "1 batches/s"), (0, "count:GPUs", "0 GPUs"),
    (3.5, "suffix: img/s", "3.5 img/s"), (1500, "reqps", "1.5 K req/s"), (12.3, "currency:¥", "¥12.3"), (1234, "none", "1,234"),
    (0, "s", "0 s"), (None, "s", "\N{EN DASH}"), (5, "nonsense", "5 nonsense"),
]  # fmt: skip
"""A value, its unit, and how Grafana would write it but for zeros at the end."""


def test_units(reader: Reader) -> None:
    """Values are written with their units; an unknown unit is printed as it stands, as Grafana does."""
    reader.page.goto("/")
    shown = reader.page.evaluate("async (rows) => { const { show } = await import('/live/units.js'); return rows.map(([value, unit]) => show(value, unit)); }", [row[:2] for row in VALUES])  # fmt: skip

    assert [row[2] for row in VALUES] == shown


def test_bars_are_told_apart(reader: Reader) -> None:
    """Words that all names begin with are left out, so that the ones that differ are not cut off."""
    reader.page.goto("/")
    made = reader.page.evaluate("""async () => { const { apart } = await import('/live/plain.js');
        return [apart(['http://a:1 lag', 'http://a:1 age']), apart(['a lag', 'b lag']), apart(['a', 'a b']), apart(['a b']), apart([])]; }""")  # fmt: skip

    assert [["lag", "age"], ["a lag", "b lag"], ["a", "a b"], ["a b"], []] == made


def test_choices_in_queries(reader: Reader) -> None:
    """What is chosen becomes a pattern that matches just that, whatever letters are in it."""
    reader.page.goto("/")
    made = reader.page.evaluate("""async () => { const { inside, fill } = await import('/live/query.js');
        const one = { type: 'query', allValue: '.+' };
        return [inside(one, ['$__all']), inside(one, ['a.b:1']), inside(one, ['a', 'b"c']), inside({ type: 'textbox' }, ['1']), fill('$a ${b:regex} $unknown $__rate_interval', { a: 'x', b: 'y', __rate_interval: '60s' })]; }""")  # fmt: skip

    assert [".+", r"a\\.b:1", r"(a|b\"c)", "1", "x y $unknown 60s"] == made


def test_theme_stays(reader: Reader) -> None:
    """The button turns the page dark, charts too, and it stays so."""
    reader.read("/")
    before = reader.page.evaluate("getComputedStyle(document.body).backgroundColor")
    reader.page.click("#theme")
    after = reader.page.evaluate("getComputedStyle(document.body).backgroundColor")
    reader.page.reload()

    assert before != after
    assert after == reader.page.evaluate("getComputedStyle(document.body).backgroundColor")


def test_nothing_to_show(browser: Browser) -> None:
    """Over an empty store every panel says why it is empty, and the page how to begin."""
    with Site(create_app(Api(Keeper(Store())).app())) as address:
        reader = Reader(browser, address)
        panels = reader.read("/")
        expect(reader.page.locator("#trouble")).to_contain_text("lightmeter up")

        assert CONSTANT == {panel["title"] for panel in panels if not panel["empty"]}
        assert all("Nothing sends" in panel["words"] for panel in panels if panel["empty"] and panel["title"] not in EMPTY)  # fmt: skip
        assert [] == [
            panel
            for panel in panels
            if "NVIDIA GPU" in panel["words"] and not panel["words"].startswith("No GPU is seen")
        ]
        assert [] == reader.complaints
        reader.context.close()


def test_server_gone(browser: Browser) -> None:
    """When the page's server ends, the page says so and keeps what it shows."""
    with Site(create_app(filled(seconds=600))) as address:
        reader = Reader(browser, address)
        reader.read(f"/d/{Board.OVERVIEW}?from=now-5m&to=now")
    reader.page.click("[aria-label='Ask again (r)']")

    expect(reader.page.locator("#trouble")).to_contain_text("cannot be reached")
    reader.context.close()


CUT = """() => [...document.querySelectorAll('.nothing')].filter((one) => one.querySelector('strong').getBoundingClientRect().top < one.getBoundingClientRect().top - 1).map((one) => one.textContent)"""


@pytest.mark.parametrize("width", [390, 1440])
def test_words_begin_where_they_can_be_read(browser: Browser, width: int) -> None:
    """Where there is more to say than room, the heading is seen and the rest can be scrolled to."""
    with Site(create_app(Api(Keeper(Store())).app())) as address:
        reader = Reader(browser, address, viewport={"width": width, "height": 900})
        panels = reader.read(f"/d/{Board.OVERVIEW}")
        cut = reader.page.evaluate(CUT)
        reader.context.close()

    assert any("NVIDIA GPU" in panel["words"] for panel in panels)
    assert [] == cut


@pytest.mark.parametrize("width", [360, 800])
def test_narrow(browser: Browser, site: str, width: int) -> None:
    """On a phone and a tablet nothing is wider than the screen."""
    reader = Reader(browser, site, viewport={"width": width, "height": 900})
    for path in PAGES:
        reader.read(path)
        assert width >= reader.page.evaluate("document.documentElement.scrollWidth"), path
    reader.context.close()
