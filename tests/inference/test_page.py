"""The web page, in a real browser."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Page,
    Request,
    Route,
    expect,
    sync_playwright,
)

from lightmeter import catalog
from lightmeter.catalog import GpuTime, WorkerState
from lightmeter.history import History
from support.debian import need
from support.server import Loading, Server, eventually, fetch


PAGE = Path(__file__).parents[2] / "inference" / "page"
ALLOWED = ("--max-steps", "1000", "--gpu-hour-price", "2", "--currency", "EUR")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = need("chromium", "chromium")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("data"), *ALLOWED) as running:
        yield running.ready()


class Visitor:
    """A page in a fresh browser context, and what it asked for and complained of."""

    def __init__(self, browser: Browser, server: Server, **context: Any) -> None:
        self.context = browser.new_context(base_url=server.api, **context)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[Request] = []
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._see)
        self.page.goto("/")

    def _hear(self, said: ConsoleMessage) -> None:
        if said.type in ("error", "warning"):
            self.complaints.append(said.text)

    def _see(self, request: Request) -> None:
        self.requests.append(request)

    def bodies(self, path: str = "generations") -> list[dict[str, Any]]:
        """Say what it posted to an address that ends so."""
        return [one.post_data_json or {} for one in self.requests if one.url.endswith(path)]

    def generate(self, prompt: str = "a lighthouse", **fields: str) -> Page:
        """Fill in the form and ask."""
        self.page.fill("#prompt", prompt)
        for name, value in fields.items():
            self.page.fill(f"#{name}", value)
        self.page.click("#generate")
        return self.page

    def shown(self, count: int = 1) -> None:
        """Wait until so many requests are in the gallery."""
        expect(self.page.locator(".card")).to_have_count(count)


@pytest.fixture
def visitor(browser: Browser, server: Server) -> Iterator[Visitor]:
    one = Visitor(browser, server)
    yield one
    one.context.close()


def fact(page: Page, name: str) -> str:
    """Read one fact of the newest card."""
    return page.locator(".card").first.locator(f"dt:text-is('{name}') + dd").inner_text()


def test_picture(visitor: Visitor, server: Server) -> None:
    """A picture appears with what it took, without a complaint or a request to anywhere else."""
    page = visitor.generate(steps="3", seed="7")
    visitor.shown()

    expect(page.locator(".card img")).to_have_js_property("naturalWidth", 64)
    assert ("64 \N{MULTIPLICATION SIGN} 64", "7", "3") == tuple(
        fact(page, name) for name in ("size", "seed", "forwards")
    )
    assert fact(page, "cost").endswith(" EUR")
    assert re.fullmatch(r"\d+\.\d+ s", fact(page, "GPU"))
    expect(page.locator("#model")).to_contain_text("still")
    expect(page.locator("#state")).to_have_text("ready")
    assert [] == visitor.complaints
    assert {server.api, "blob:" + server.api} >= {
        re.sub(r"^((blob:)?https?://[^/]+)/.*", r"\1", one.url) for one in visitor.requests
    }


def test_light() -> None:
    """The whole page weighs less than 30 kB."""
    assert 30_000 > sum(path.stat().st_size for path in PAGE.iterdir())


@pytest.mark.parametrize("path", ["/", "/page/index.html", "/page/page.css", "/page/page.js", "/page/icon.svg"])  # fmt: skip
def test_policy(server: Server, path: str) -> None:
    """Every file forbids the browser to load or run anything but the page's own files."""
    answer = server.client.get(path)

    assert 200 == answer.status_code
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    again = server.client.get(path, headers={"If-None-Match": answer.headers["etag"]})
    assert 304 == again.status_code
    assert 200 == server.client.head(path).status_code


def test_no_inline() -> None:
    """The page has no inline script or style, which its policy would forbid."""
    page = (PAGE / "index.html").read_text()

    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*src=)", page)


def test_rated(visitor: Visitor, server: Server) -> None:
    """The stars that a user gives are in the history of that picture's request."""
    visitor.generate(steps="11")
    visitor.shown()
    visitor.page.locator(".stars input[value='4']").check(force=True)

    expect(visitor.page.locator(".saved")).to_have_text("saved")
    found = History(server.history).frame(["request_id", "forwards", "feedback"])
    assert [4] == list(found["feedback"][found["forwards"] == 11])
    assert [] == visitor.complaints


def test_chinese(visitor: Visitor) -> None:
    """A Chinese prompt is sent and shown as it was written."""
    prompt = "雨夜里的面馆\N{FULLWIDTH COMMA}霓虹灯倒映在湿漉漉的街道上 🍜"
    visitor.generate(prompt)
    visitor.shown()

    assert [prompt] == [asked["prompt"] for asked in visitor.bodies()]
    expect(visitor.page.locator(".card .prompt")).to_have_text(prompt)
    assert prompt == visitor.page.locator(".card img").get_attribute("alt")


def test_everything_asked(visitor: Visitor) -> None:
    """Each field of the form reaches the server under its name, and an empty one is not sent."""
    page = visitor.page
    page.click("summary")
    page.select_option("#size", "other")
    page.select_option("#priority", "batch")
    visitor.generate(width="128", height="96", negative="fog", guidance="1.5", count="2", seed="5", steps="4")  # fmt: skip
    visitor.shown()
    page.reload()
    visitor.generate("plain")
    visitor.shown()

    full, plain = visitor.bodies()
    assert {
        "prompt": "a lighthouse",
        "size": "128x96",
        "negative_prompt": "fog",
        "guidance_scale": 1.5,
        "n": 2,
        "seed": 5,
        "num_inference_steps": 4,
        "priority": "batch",
        "stream": True,
    } == full
    assert {"prompt": "plain", "stream": True} == plain


def test_marked(visitor: Visitor) -> None:
    """A picture in which a guard found a fault is marked with it; another is not."""
    page = visitor.generate("black")
    visitor.shown()
    expect(page.locator(".marks")).to_contain_text("black")
    visitor.generate()
    visitor.shown(2)
    expect(page.locator(".card").first.locator(".marks")).to_be_hidden()


def test_loras(browser: Browser, tmp_path: Path) -> None:
    """The LoRAs that the server offers can be chosen; where it offers none there is no choice."""
    (tmp_path / "ink.safetensors").write_bytes(b"")
    with Server(tmp_path, "--loras", str(tmp_path)) as server:
        visitor = Visitor(browser, server.ready())
        page = visitor.page
        page.click("summary")
        expect(page.get_by_label("LoRA")).to_have_text("noneink")
        page.select_option("#lora", "ink")
        visitor.generate()
        expect(page.get_by_role("alert")).to_contain_text("lora 'ink'", ignore_case=True)
        visitor.context.close()
    assert ["ink"] == [asked["lora"] for asked in visitor.bodies()]


def test_no_loras(visitor: Visitor) -> None:
    """Without LoRAs the form does not speak of them."""
    visitor.page.click("summary")
    expect(visitor.page.get_by_label("Guidance")).to_be_visible()
    expect(visitor.page.get_by_label("LoRA")).to_be_hidden()


def test_refused(visitor: Visitor) -> None:
    """What the server refuses is shown in its words, and the next try clears it."""
    page = visitor.generate(steps="5000")

    expect(page.get_by_role("alert")).to_contain_text("at most 1000 are allowed")
    expect(page.locator(".card")).to_have_count(0)
    visitor.generate(steps="2")
    visitor.shown()
    expect(page.get_by_role("alert")).to_be_hidden()


def test_progress_and_cancel(visitor: Visitor, server: Server) -> None:
    """The steps are counted while they happen; Cancel ends the work on the server too."""
    before = server.value(catalog.GPU_SECONDS, kind=GpuTime.ABANDONED)
    page = visitor.generate(steps="1000")
    expect(page.locator("#step")).to_have_text(re.compile(r"step [1-9]\d* of 1000"))
    page.click("#cancel")

    expect(page.locator("#generate")).to_be_enabled()
    expect(page.locator("#trouble")).to_be_hidden()
    assert eventually(lambda: server.value(catalog.WORKERS, state=WorkerState.READY) == 1)
    assert before < server.value(catalog.GPU_SECONDS, kind=GpuTime.ABANDONED)
    assert [] == visitor.complaints


def test_countdown(browser: Browser, tmp_path: Path) -> None:
    """When the queue is full the page counts down to the moment that the server named."""
    with Server(tmp_path, *ALLOWED, "--queue", "1", "--batch", "1") as server:
        server.ready()
        long = {"num_inference_steps": 900, "prompt": "x", "size": "16x16"}
        busy = [threading.Thread(target=server.post, args=(long,)) for _ in range(2)]
        busy[0].start()
        assert eventually(lambda: server.value(catalog.WORKERS, state=WorkerState.BUSY) == 1)
        busy[1].start()
        assert eventually(lambda: server.value(catalog.QUEUE_DEPTH) == 1)
        visitor = Visitor(browser, server)
        page = visitor.generate()

        expect(page.get_by_role("alert")).to_contain_text("waiting")
        expect(page.locator("#again")).to_have_text(re.compile(r"Try again in \d+ s\."))
        expect(page.locator("#again")).to_have_text("You can try again now.", timeout=60_000)
        for one in busy:
            one.join()
        visitor.context.close()


def test_keyboard(visitor: Visitor) -> None:
    """Everything can be done without a mouse: ask, enlarge, close, rate."""
    page = visitor.page
    expect(page.locator("#prompt")).to_be_focused()
    page.keyboard.type("a lighthouse")
    page.keyboard.press("Control+Enter")
    visitor.shown()

    page.get_by_role("button", name="Enlarge").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Download")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")

    expect(page.get_by_role("radio", name="3 stars")).to_be_checked()
    expect(page.locator(".saved")).to_have_text("saved")
    assert [3] == [rated["score"] for rated in visitor.bodies("feedback")]


def test_enlarge(visitor: Visitor) -> None:
    """A click on a picture shows it large, with its prompt; a click beside it closes it."""
    page = visitor.generate("a very special lighthouse")
    visitor.shown()
    page.get_by_role("button", name="Enlarge").click()

    expect(page.get_by_role("dialog")).to_contain_text("a very special lighthouse")
    page.mouse.click(3, 3)
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_download(visitor: Visitor) -> None:
    """The file that is saved is the picture, named by its request."""
    page = visitor.generate()
    visitor.shown()
    with page.expect_download() as saved:
        page.get_by_role("link", name="Download").click()

    assert re.fullmatch(r"img_[0-9a-f]{24}-0\.png", saved.value.suggested_filename)
    assert Path(saved.value.path()).read_bytes().startswith(b"\x89PNG")


def test_same_seed(visitor: Visitor) -> None:
    """'Same seed' fills the form so that the same picture comes again."""
    page = visitor.generate(count="2", steps="3")
    visitor.shown()
    seed = fact(page, "seed").split(",")[0]
    page.fill("#prompt", "something else")
    page.get_by_role("button", name="Same seed").click()

    expect(page.locator("#seed")).to_have_value(seed)
    expect(page.locator("#prompt")).to_have_value("a lighthouse")
    expect(page.locator("#count")).to_have_value("2")
    page.click("#generate")
    visitor.shown(2)
    assert fact(page, "seed").startswith(seed)


def test_dice(visitor: Visitor) -> None:
    """The dice fill in a seed, another each time."""
    page, seeds = visitor.page, set()
    for _ in range(4):
        page.get_by_role("button", name="Roll a seed").click()
        seeds.add(int(page.input_value("#seed")))

    assert 4 == len(seeds)


def test_key(browser: Browser, tmp_path: Path) -> None:
    """Where a key is asked for the page asks for it, sends it, and keeps it for this tab alone."""
    keys = tmp_path / "keys.toml"
    keys.write_text('[shop]\nkey = "a-key-of-sixteen-characters"\n')
    with Server(tmp_path, "--keys", str(keys)) as server:
        visitor = Visitor(browser, server.ready())
        page = visitor.generate()
        expect(page.get_by_role("alert")).to_contain_text("asks for a key")
        expect(page.locator("#key")).to_be_focused()
        page.fill("#key", "a-key-of-sixteen-characters")
        page.click("#generate")
        visitor.shown()
        page.locator(".stars input[value='2']").check(force=True)
        expect(page.locator(".saved")).to_have_text("saved")
        page.reload()
        kept = page.input_value("#key")
        other = visitor.context.new_page()
        other.goto("/")
        elsewhere = other.input_value("#key")
        lasting = page.evaluate("localStorage.length + document.cookie.length")
        visitor.context.close()

    assert ("a-key-of-sixteen-characters", "", 0) == (kept, elsewhere, lasting)


def test_no_streaming(visitor: Visitor) -> None:
    """Behind a server that does not stream, the page asks again without."""

    def refuse(route: Route) -> None:
        if not (route.request.post_data_json or {}).get("stream"):
            route.continue_()
            return
        error = {"message": "stream: no", "type": "invalid_request_error", "param": "stream", "code": "422"}  # fmt: skip
        route.fulfill(
            status=422, body=json.dumps({"error": error}), content_type="application/json"
        )

    visitor.page.route("**/v1/images/generations", refuse)
    visitor.generate()
    visitor.shown()


def test_server_gone(browser: Browser, tmp_path: Path) -> None:
    """A server that is gone, or dies at work, is told as such; the page goes on."""
    with Server(tmp_path, *ALLOWED) as server:
        visitor = Visitor(browser, server.ready())
        page = visitor.generate(steps="1000")
        expect(page.locator("#step")).to_contain_text("of 1000")
        server.kill()
        expect(page.get_by_role("alert")).to_have_text("The server cannot be reached.")
        expect(page.locator("#state")).to_have_text("unreachable", timeout=30_000)
        expect(page.locator("#generate")).to_be_enabled()
        visitor.context.close()


def test_loading(browser: Browser, tmp_path: Path) -> None:
    """While the model loads the page says so, and turns ready by itself."""
    with Loading(tmp_path) as server:
        visitor = Visitor(browser, server)
        expect(visitor.page.locator("#state")).to_have_text("loading the model")
        server.let_go().ready()
        expect(visitor.page.locator("#state")).to_have_text("ready", timeout=30_000)
        visitor.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 768, 1440])
def test_fits(browser: Browser, server: Server, width: int, scheme: Any) -> None:
    """On any screen, light or dark, nothing sticks out sideways and words can be read."""
    visitor = Visitor(
        browser, server, viewport={"width": width, "height": 800}, color_scheme=scheme
    )
    page = visitor.page
    page.click("summary")
    visitor.generate("x" * 300, count="2")
    visitor.shown()

    assert 0 >= page.evaluate("document.documentElement.scrollWidth - innerWidth")
    ink, ground = (page.evaluate(f"getComputedStyle(document.body).{name}") for name in ("color", "backgroundColor"))  # fmt: skip
    assert 7 < contrast(ink, ground)
    visitor.context.close()


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours, as https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio has it."""

    def luminance(colour: str) -> float:
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return sum(
            weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True)
        )

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_named(visitor: Visitor) -> None:
    """Every control has a name that a screen reader can say."""
    visitor.page.click("summary")
    visitor.generate()
    visitor.shown()

    nameless = visitor.page.evaluate(
        """[...document.querySelectorAll("input, select, textarea, button, a, dialog, progress")]
        .filter(e => !(e.ariaLabel || e.labels?.[0]?.textContent.trim() || e.textContent.trim()))
        .map(e => e.outerHTML)"""
    )
    assert [] == nameless


def test_not_elsewhere(server: Server) -> None:
    """No other file of the package is served."""
    for path in ("/page/", "/page/../app.py", "/page/%2e%2e/app.py", "/page/routes_page.py"):
        assert 404 == fetch(server.api + path).status_code
