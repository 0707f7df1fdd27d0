"""Everything together: a target is scraped, a rule fires, somebody hears it, a restart knows it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from starlette.testclient import TestClient

from alerts.levels import Bounds, Level
from alerts.webhook import PATH, Webhook
from lightmeter.errors import SettingError
from lightmeter.localprom import notify
from lightmeter.localprom.engine import Alerts, Engine, Plan
from lightmeter.localprom.scrape import Target


RULES = "groups: [{name: g, rules: [{alert: High, expr: 'level > 1', annotations: {summary: 'at {{ $value }}'}}]}]"  # fmt: skip


class _Handler(BaseHTTPRequestHandler):
    takes = 500

    def heard(self) -> None:
        """Take note of a message."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"level 7\n")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.heard()
        self.send_response(self.takes)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the library's name)
        """Say nothing."""


@pytest.fixture(name="url")
def _url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_life(tmp_path: Path, url: str) -> None:
    """What is exposed can be asked for, its alert is told, and both are still known afterwards."""
    (tmp_path / "rules.yaml").write_text(RULES)
    said: list[str] = []
    told: list[Alerts] = []
    plan = Plan([Target(f"{url}/metrics", "j", interval_seconds=0.05)], [tmp_path / "rules.yaml"], tmp_path / "kept", rule_interval_seconds=0.05, alertmanager_url=url)  # fmt: skip
    engine = Engine(plan, said=said.append, tell=told.append)

    async def until_told() -> None:
        running = asyncio.create_task(engine.run())
        while not any(told) or not said:  # noqa: ASYNC110 (what is waited for is a list)
            await asyncio.sleep(0.01)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running

    asyncio.run(until_told())

    alerts = next(each for each in told if each)
    assert "at 7" == alerts[0]["annotations"]["summary"]
    assert "answers 500" in said[0]
    again = TestClient(Engine(Plan(folder=tmp_path / "kept"), said=said.append).app())
    kept = again.get("/api/v1/query", params={"query": "last_over_time(level[5m])"}).json()["data"]
    assert "7" == kept["result"][0]["value"][1]
    assert ["firing"] == again.get("/api/v1/label/alertstate/values").json()["data"]
    gone = again.get("/api/v1/query", params={"query": "level"}).json()["data"]["result"]
    assert [] == gone  # who was there before is not there now until it is scraped again


def test_said_once(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever refuses alerts is complained of once, not at each evaluation; that it takes them again is said, too."""
    (tmp_path / "rules.yaml").write_text(RULES.replace("level > 1", "vector(7)"))
    said: list[str] = []
    engine = Engine(Plan(rule_files=[tmp_path / "rules.yaml"], alertmanager_url=url), said=said.append)  # fmt: skip

    async def evaluated() -> None:
        for number, status in enumerate((500, 500, 500, 200, 200, 500)):
            monkeypatch.setattr(_Handler, "takes", status)
            await engine.evaluate(number * 60_000)

    asyncio.run(evaluated())
    to = f"{url}/api/v2/alerts"
    refused = f"{to} answers 500 to alerts: "
    assert [refused, f"{to} takes alerts again", refused] == said


def test_token(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scaler that asks for a token is shown it, a new one from the next message on; no Alertmanager is."""
    shown: dict[str, list[str | None]] = {}

    def noted(self: _Handler) -> None:
        shown.setdefault(self.path, []).append(self.headers["authorization"])

    monkeypatch.setattr(_Handler, "heard", noted)
    monkeypatch.setattr(_Handler, "takes", 200)
    rules, token, said = tmp_path / "rules.yaml", tmp_path / "token", list[str]()
    rules.write_text(RULES.replace("level > 1", "vector(7)").replace("alert: High", "alert: High, labels: {scaling: raise}"))  # fmt: skip
    token.write_text("new-token-of-ours\nold-token-of-ours\n")
    engine = Engine(Plan(rule_files=[rules], alertmanager_url=url, webhook_url=f"{url}/v1/alerts", webhook_token_file=token), said=said.append)  # fmt: skip

    async def evaluated() -> None:
        await engine.evaluate(60_000)
        token.write_text("newest-token-of-ours\n")
        await engine.evaluate(120_000)
        token.unlink()
        await engine.evaluate(180_000)

    asyncio.run(evaluated())
    assert ["Bearer new-token-of-ours", "Bearer newest-token-of-ours"] == shown["/v1/alerts"]
    assert [None, None, None] == shown["/api/v2/alerts"]
    assert [f"{url}/v1/alerts cannot be told of alerts: token file {str(token)!r} does not exist"] == said  # fmt: skip


def test_no_token(tmp_path: Path) -> None:
    """A file of a token that cannot be used is refused at the start."""
    with pytest.raises(SettingError, match="does not exist"):
        Engine(Plan(webhook_token_file=tmp_path / "token"), said=print)


def test_told_to_a_scaler() -> None:
    """A scaler hears of an alert that concerns it as from an Alertmanager, of its end, and of no other."""
    held: list[tuple[str, ...]] = []

    class Holder:
        def hold(self, levels: tuple[Level, ...]) -> None:
            held.append(tuple(level.labels["alertname"] for level in levels))

    webhook = Webhook(Holder(), bounds=Bounds(age_seconds=60), token_file=None, registry=CollectorRegistry())  # fmt: skip
    burning = {"labels": {"alertname": "Burn", "scaling": "raise"}, "annotations": {}, "startsAt": "2026-11-21T00:00:00.000Z", "generatorURL": ""}  # fmt: skip
    other = {**burning, "labels": {"alertname": "Other"}, "endsAt": "2026-11-21T00:01:00.000Z"}
    now = 1795219220_000  # 20 s after it began
    with TestClient(webhook.app) as scaler:
        for end in ("2026-11-21T00:01:00.000Z", "2026-11-21T00:00:15.000Z"):
            message = notify.message([{**burning, "endsAt": end}, other], now)
            assert 200 == scaler.post(PATH, json=message).status_code

    assert [("Burn",), ()] == held
