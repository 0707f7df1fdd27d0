"""The live page over HTTP: what is served, what is passed on, what other sites may not do."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from dashboards.live import assets, guard, home, runbook
from dashboards.live.app import Beside, create_app
from dashboards.render import dashboard
from lightmeter.catalog import Board
from lightmeter.errors import ServerError
from lightmeter.localprom.api import Api
from lightmeter.localprom.keep import Keeper
from lightmeter.localprom.labels import pack
from lightmeter.localprom.store import Store


ROOT = Path(__file__).parents[2]
RUNBOOK = (ROOT / "alerts" / "runbook.md").read_text()
RULES = ROOT / "alerts" / "generated" / "prometheus"
PAGES = ("/", f"/d/{Board.COST}", f"/d/{Board.COST}/cost", "/alerts", "/decisions", "/runbook")


def store() -> Any:
    keeper = Keeper(Store())
    for at in range(5):
        keeper.write(at * 15_000, [(pack({"__name__": "up", "job": "a", "instance": "b"}), 1)])
    return Api(keeper).app()


def client(beside: Beside | None = None) -> TestClient:
    return TestClient(create_app(store(), beside))


@pytest.fixture(scope="module", name="page")
def _page() -> TestClient:
    return client(Beside(runbook=RUNBOOK))


@pytest.mark.parametrize("path", PAGES)
def test_pages(page: TestClient, path: str) -> None:
    """Each address is a page that loads nothing from elsewhere, and may not."""
    answer = page.get(path)

    assert 200 == answer.status_code
    assert "text/html; charset=utf-8" == answer.headers["content-type"]
    assert guard.POLICY == answer.headers["content-security-policy"]
    assert "unsafe" not in guard.POLICY
    addresses = re.findall(r'(?:src|href)="([^"#]+)"', answer.text)
    assert [] == [each for each in addresses if "//" in each]
    assert [] == [each for each in addresses if not page.get(each).is_success]


def test_nothing_inline(page: TestClient) -> None:
    """No page has a script or a style inside, which its policy would forbid."""
    for path in PAGES:
        assert [] == re.findall(r"<style|\sstyle=|\son\w+=|<script>", page.get(path).text)


def test_scripts_agree() -> None:
    """Every module that a script imports is there, and what it takes from it is exported."""
    scripts = {path.name: path.read_text() for path in assets.FOLDER.glob("*.js")}
    for text in scripts.values():
        for names, other in re.findall(r'import \{([^}]+)\} from "\./([\w.]+)"', text):
            for name in names.split(","):
                assert re.search(rf"export (async )?(function|const|class) {re.escape(name.strip())}\W", scripts[other]), (name, other)  # fmt: skip


def test_small_files() -> None:
    """Scripts and styles are no longer than modules are."""
    assert {} == {path.name: count for path in assets.FOLDER.iterdir() if (count := len(path.read_text().splitlines())) > 300}  # fmt: skip


def test_boards(page: TestClient) -> None:
    """The page draws the very JSON that Grafana gets; only the runbook is this page's own."""
    for board in Board:
        committed = (ROOT / "dashboards" / "generated" / "json" / f"{board}.json").read_text()
        served = page.get(f"/live/boards/{board}.json").json()
        assert json.loads(committed.replace("http://127.0.0.1:9090/runbook", "/runbook")) == served


def test_home() -> None:
    """The first page has a heading for each theme, explained, over whole lines of panels."""
    from dashboards.boards import all_boards

    board = home.board({str(one.board): dashboard(one, "/runbook") for one in all_boards()})
    rows = [panel for panel in board["panels"] if panel["type"] == "row"]
    widths = [panel["gridPos"]["w"] for panel in board["panels"] if panel["type"] != "row"]

    assert [theme.title for theme in home.THEMES] == [row["title"] for row in rows]
    assert all(row["description"] for row in rows)
    assert 0 == sum(widths) % home.COLUMNS
    assert {"service", "within", "gpu_hour"} <= {each["name"] for each in board["templating"]["list"]}  # fmt: skip


@pytest.mark.parametrize(("name", "digest"), [
    ("uPlot.iife.min.js", "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f"),
    ("uPlot.min.css", "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04"),
    ("LICENSE", "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd"),
])  # fmt: skip
def test_charts_are_as_published(name: str, digest: str) -> None:
    """The library that draws is npm's uplot-1.6.32.tgz byte for byte, whose own digest is sha512-KIMVnG68zvu5...."""
    assert digest == hashlib.sha256((assets.CHARTS / name).read_bytes()).hexdigest()


def test_assets_are_kept(page: TestClient) -> None:
    """A browser that has a file already is told so, and packed ones are smaller."""
    first = page.get("/live/uplot.js")
    again = page.get("/live/uplot.js", headers={"if-none-match": first.headers["etag"]})
    plain = page.get("/live/uplot.js", headers={"accept-encoding": "identity"})

    assert "gzip" == first.headers["content-encoding"]
    assert int(first.headers["content-length"]) < len(plain.content) / 2
    assert first.content == plain.content
    assert (304, b"") == (again.status_code, again.content)


def test_api(page: TestClient) -> None:
    """Questions are answered from the same address, so that Grafana may ask there as well."""
    found = page.get("/api/v1/query", params={"query": "up", "time": "60"}).json()

    assert [{"__name__": "up", "job": "a", "instance": "b"}] == [row["metric"] for row in found["data"]["result"]]  # fmt: skip
    assert page.get("/-/ready").is_success


def test_every_alert_has_its_anchor(page: TestClient) -> None:
    """Each alert's runbook link ends at a heading; each panel link at a panel of the page."""
    text = page.get("/runbook").text
    rules = "".join(path.read_text() for path in RULES.glob("*.yaml"))
    panels = {(board, panel["id"]) for board in Board for panel in page.get(f"/live/boards/{board}.json").json()["panels"] if panel["type"] != "row"}  # fmt: skip
    anchors = re.findall(r"runbook_url: \S+/runbook#(\S+)", rules)
    linked = re.findall(r"dashboard_url: \S+/d/([\w-]+)\?viewPanel=(\d+)", rules)

    assert anchors
    assert [] == [anchor for anchor in anchors if f'id="{anchor}"' not in text]
    assert set() == {(board, int(number)) for board, number in linked} - panels


def test_runbook_is_text() -> None:
    """HTML in a runbook is shown, not obeyed; without a runbook the page says what brings one."""
    shell = "$title $contents $text"
    made = runbook.page("### Burn <b>\n\n<script>alert(1)</script>", shell)

    assert "<script>" not in made
    assert "<b>" not in made
    assert "lightmeter up" in runbook.page("", shell)


def test_decisions() -> None:
    """The scaler's decisions are passed on; its silence is said, and so is its absence."""
    record = {"id": "d", "action": "up", "reason": "4 wait"}

    async def good() -> Sequence[Mapping[str, Any]]:
        return [record]

    async def silent() -> Sequence[Mapping[str, Any]]:
        raise ServerError("the scaler at http://x cannot be asked: refused")

    assert {"decisions": [record]} == client(Beside(decisions=good)).get("/live/decisions").json()
    answer = client(Beside(decisions=silent)).get("/live/decisions")
    assert (502, "the scaler at http://x cannot be asked: refused") == (answer.status_code, answer.json()["error"])  # fmt: skip
    assert 404 == client().get("/live/decisions").status_code


def test_report(tmp_path: Path) -> None:
    """The report appears once it is written, may run no script, and shows nothing beside itself.

    Until then people get a page that says what writes it and looks again, programs JSON.
    """
    (tmp_path / "secret").write_text("x")
    folder = tmp_path / "report"
    page = client(Beside(report=folder))
    before = page.get("/report/")
    waiting = page.get("/report", headers={"accept": "text/html,*/*;q=0.8"})
    folder.mkdir()
    (folder / "report.html").write_text("<h1>plan</h1>")

    assert 404 == before.status_code == waiting.status_code
    assert "no report yet" in before.json()["error"]
    assert f"--out {folder}" in before.json()["error"]
    assert f"--out {folder}" in waiting.text
    assert 'http-equiv="refresh"' in waiting.text
    assert (
        guard.POLICY == waiting.headers["content-security-policy"]
    )  # a sandbox would keep it from looking again
    assert "<h1>plan</h1>" == page.get("/report/").text
    assert guard.REPORT_POLICY == page.get("/report/").headers["content-security-policy"]
    assert page.get("/live/about.json").json()["report"]
    assert 404 == page.get("/report/%2e%2e/secret").status_code


def test_unknown(page: TestClient) -> None:
    """An address that is nothing says where to begin; an unknown board is not found."""
    assert "begin at /" in page.get("/nowhere").json()["error"]
    assert 404 == page.get("/live/boards/x.json").status_code
    unknown = page.get("/d/x")
    assert (404, "text/html; charset=utf-8") == (unknown.status_code, unknown.headers["content-type"])  # fmt: skip
    assert {"status": "ok"} == page.get("/healthz").json()
    assert 405 == page.post("/").status_code
