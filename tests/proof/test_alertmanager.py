"""From a fault to a person and to the scaler: the real server, exporter, Prometheus and Alertmanager.

The rules are the generated ones, only sooner; the routes as well.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from alerts import packs, render, routes
from alerts.levels import Bounds, Level
from alerts.objectives import Override, Slo
from alerts.routes import Pace, Routing
from lightmeter import catalog
from lightmeter.catalog import WEBHOOK_ALERTS, AlertResult, Scaling
from support.alerting import Alertmanager, Hook, Taker, every_alert, free_port, told, write
from support.debian import need
from support.exporter import Exporter
from support.nvml import FakeNvml, uuid
from support.server import Server, bearer, eventually


pytestmark = pytest.mark.proof
SOON = Pace("2s", "1s", "5s")
NAMES = ("LightmeterMetricsMissing", "LightmeterGpuDown", "LightmeterGpuGone", "LightmeterExporterDead")  # fmt: skip
SLO = Slo(scrape_interval=1, alerts={name: Override(hold=1) for name in NAMES})
TOKEN = "0123456789abcdef"  # noqa: S105  (a test's)
LOST = 15
"""NVML's error for a GPU that fell off the bus."""
MISSING, BURN, TICKET = "LightmeterMetricsMissing", "LightmeterErrorBudgetBurn1h", "LightmeterErrorBudgetBurn1d"  # fmt: skip


class Chain:
    """Prometheus with our rules, an Alertmanager with our routes, and all whom that tells."""

    def __init__(self, folder: Path, target: str, hook: Hook, taker: Taker) -> None:
        (folder / "token").write_text(TOKEN)
        self.folder, self.hook, self.taker = folder, hook, taker
        routing = Routing(hook.url, str(folder / "token"), SOON, SOON, SOON, SOON)
        to_people = {name: f"{taker.url}/{name}" for name in ("pages", "tickets")}
        write(folder / "routes", routes.alertmanager(SLO, routing), **to_people)
        self.alertmanager = Alertmanager(folder / "am", folder / "routes" / "webhook.yaml").ready()
        self._prometheus = self._start(target)

    def _start(self, target: str) -> subprocess.Popen[bytes]:
        rules = render.prometheus(packs.make("recommended", SLO), SLO.links)
        (self.folder / "rules.yml").write_text(rules)
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yml"],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [self.alertmanager.address]}]}]},
            "scrape_configs": [{"job_name": "lightmeter", "static_configs": [{"targets": [target]}]}],
        }  # fmt: skip
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        self.api = f"127.0.0.1:{free_port()}"
        command = [need("prometheus", "prometheus"), f"--config.file={self.folder}/prometheus.yml", f"--storage.tsdb.path={self.folder}/tsdb", f"--web.listen-address={self.api}", "--rules.alert.resend-delay=2s"]  # fmt: skip
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def has(self, query: str) -> bool:
        """Tell whether a query finds anything."""
        try:
            answer = httpx.get(f"http://{self.api}/api/v1/query", params={"query": query}, trust_env=False)  # fmt: skip
        except httpx.TransportError:
            return False
        return answer.is_success and bool(answer.json()["data"]["result"])

    def paged(self, name: str, status: str = "firing") -> bool:
        """Tell whether somebody was paged for an alert, or told that it is over."""
        return name in self.taker.names("/pages", status)

    def groups(self, name: str) -> list[int]:
        """Count the alerts in each message that fires about one."""
        return [
            len(message["alerts"])
            for path, message in self.taker.messages
            if path == "/pages"
            and message["status"] == "firing"
            and message["groupLabels"]["alertname"] == name
        ]

    def close(self) -> None:
        """End both programs."""
        self._prometheus.terminate()
        self._prometheus.wait(30)
        self.alertmanager.__exit__()


@contextlib.contextmanager
def chain(folder: Path, url: str) -> Iterator[Chain]:
    with Hook(Bounds(age_seconds=60.0), folder / "token") as hook, Taker() as taker:
        running = Chain(folder, url.split("/")[2], hook, taker)
        try:
            yield running
        finally:
            running.close()


def serving(folder: Path, url: str = "") -> Server:
    port = url.split("/")[2].rpartition(":")[2] if url else "0"
    return Server(folder / "data", "--service", "shop", "--queue", "2", "--batch", "1", "--metrics-port", port).ready()  # fmt: skip


def holds(hook: Hook) -> set[str]:
    return {level.labels["scaling"] for level in hook.held[-1]} if hook.held else set()


def test_service(tmp_path: Path) -> None:
    """Overload pages and keeps up the scaler's floor; a killed server freezes it and silences what is blind; all of it ends."""
    (tmp_path / "token").write_text(TOKEN)
    with serving(tmp_path) as first, chain(tmp_path, first.metrics_url) as running:
        hook, silenced = running.hook, running.alertmanager.silenced
        assert eventually(lambda: running.has("up == 1"), 40)
        assert set() == holds(hook)
        _overload(first)
        assert eventually(lambda: running.paged(BURN), 60)
        assert eventually(lambda: holds(hook) == {Scaling.RAISE})
        for _ in range(6):
            assert 200 == first.post(prompt="black").status_code
        assert eventually(lambda: running.paged("LightmeterBlackImages"), 60)
        assert eventually(lambda: BURN in silenced().get(TICKET, {BURN}))
        assert "availability" not in _slos(running.taker, "/tickets")

        first.kill()
        assert eventually(lambda: running.paged(MISSING), 60)
        assert eventually(lambda: Scaling.FREEZE in holds(hook))
        assert {MISSING} == silenced()["LightmeterBlackImages"]

        with serving(tmp_path, first.metrics_url) as again:
            assert eventually(lambda: running.paged(MISSING, "resolved"), 60)
            end = time.monotonic() + 90
            while time.monotonic() < end and holds(hook):
                again.post()
            assert set() == holds(hook)
            assert running.paged(BURN, "resolved")
            began, ended = (hook.count(WEBHOOK_ALERTS, word) for word in (AlertResult.BEGAN, AlertResult.ENDED))  # fmt: skip
            assert began == ended >= 3
            assert hook.count(WEBHOOK_ALERTS, AlertResult.REPEATED) >= 1


def _overload(server: Server) -> None:
    """Let requests be refused until a tenth are, in steps that Prometheus sees."""
    for _ in range(4):
        codes = [answer.status_code for answer in server.together([{"num_inference_steps": 50}] * 16)]  # fmt: skip
        assert 429 in codes
        time.sleep(1.5)


def _slos(taker: Taker, path: str) -> set[str]:
    return {
        alert["labels"].get("slo", "")
        for where, message in list(taker.messages)
        for alert in message["alerts"]
        if where == path
    }


def test_gpus(tmp_path: Path) -> None:
    """Two lost GPUs are one page, and silence their own errors; a dead exporter, that GPUs are gone."""
    (tmp_path / "token").write_text(TOKEN)
    fake = FakeNvml(tmp_path, gpus=3)
    with Exporter("--gpus", "3", **fake.environment) as first, chain(tmp_path, first.url) as running:  # fmt: skip
        silenced = running.alertmanager.silenced
        assert eventually(lambda: running.has(f"count({catalog.GPU_UP.name} == 1) == 3"), 40)
        for count in (1, 2):
            fake.add(1, "xid", 79)
            assert eventually(lambda: running.has(f"{catalog.GPU_XID.name} == {count}"), 40)  # noqa: B023  (asked at once)
        assert eventually(lambda: running.paged("LightmeterXidHardware"), 60)
        assert {} == silenced()
        for gpu in (1, 2):
            fake.error(gpu, LOST)
        assert eventually(lambda: running.paged("LightmeterGpuDown"), 60)
        assert eventually(lambda: 2 in running.groups("LightmeterGpuDown"))
        assert eventually(lambda: silenced().get("LightmeterXidHardware") == {"LightmeterGpuDown"})
        for gpu in (1, 2):
            fake.heal(gpu)
        assert eventually(lambda: running.paged("LightmeterGpuDown", "resolved"), 60)

        first.stop()
        assert eventually(lambda: running.paged("LightmeterExporterDead"), 60)
        port = first.url.split("/")[2].rpartition(":")[2]
        with Exporter("--gpus", "3", "--port", port, **fake.environment):
            assert eventually(lambda: running.paged("LightmeterExporterDead", "resolved"), 60)
    assert not running.paged("LightmeterGpuGone")
    uuids = {alert["labels"]["UUID"] for _, message in running.taker.messages for alert in message["alerts"] if alert["labels"]["alertname"] == "LightmeterGpuDown"}  # fmt: skip
    assert {uuid(1), uuid(2)} == uuids


def test_pair(tmp_path: Path) -> None:
    """Two Alertmanagers say everything twice; the levels stay single, and an end stays an end."""
    token = tmp_path / "token"
    token.write_text(TOKEN)
    pace = Pace("0s", "1s", "2s")
    by_name = {alert.name: alert for alert in every_alert() if "scaling" in alert.labels}
    alerts = [told(by_name[name]) | {"startsAt": _moment()} for name in (MISSING, BURN)]
    with Hook(Bounds(age_seconds=60.0), token) as hook, Taker() as taker, contextlib.ExitStack() as stack:  # fmt: skip
        routing = Routing(hook.url, str(token), pace, pace, pace, pace)
        write(tmp_path / "routes", routes.alertmanager(Slo(), routing), pages=f"{taker.url}/pages")
        ports = [free_port(), free_port()]
        pair = [
            stack.enter_context(Alertmanager(tmp_path / f"am{port}", tmp_path / "routes" / "webhook.yaml", port, ports))
            for port in ports
        ]  # fmt: skip
        assert eventually(lambda: all(_peers(one.ready()) == 2 for one in pair))
        for one in pair:
            one.tell(alerts)
        assert eventually(lambda: len(hook.names()) == 2)
        assert eventually(lambda: hook.count(WEBHOOK_ALERTS, AlertResult.REPEATED) >= 10, 60)
        (held, *_) = hook.held[-1]
        # the second peer waits 15 s for the first; where it hears of it in time it says nothing
        if not eventually(lambda: 2 == len({message["externalURL"] for _, message in list(taker.messages)}), 30):  # fmt: skip
            again = {"alerts": [_firing(level) for level in hook.held[-1]]}
            httpx.post(hook.url, json=again, headers=bearer(TOKEN), trust_env=False).raise_for_status()  # fmt: skip
        assert {BURN, MISSING} == set(hook.names())
        assert 2 == hook.count(WEBHOOK_ALERTS, AlertResult.BEGAN)

        for one in pair:
            one.tell([alert | {"endsAt": _moment()} for alert in alerts])
            time.sleep(0.5)
        assert eventually(lambda: hook.names() == [], 60)
        late = httpx.post(hook.url, json={"alerts": [_firing(held)]}, headers=bearer(TOKEN), trust_env=False)  # fmt: skip
        assert 1 == late.json()["over"]
        assert not eventually(lambda: hook.names() != [], 6)
        assert 2 == hook.count(WEBHOOK_ALERTS, AlertResult.BEGAN)
        assert 2 == hook.count(WEBHOOK_ALERTS, AlertResult.ENDED)


def _peers(one: Alertmanager) -> int:
    return len(one.client.get("/status").json()["cluster"]["peers"])


def _moment() -> str:
    return datetime.now(UTC).isoformat()


def _firing(level: Level) -> dict[str, Any]:
    since = datetime.fromtimestamp(level.since, UTC).isoformat()
    return {"status": "firing", "labels": dict(level.labels), "fingerprint": level.fingerprint, "startsAt": since}  # fmt: skip
