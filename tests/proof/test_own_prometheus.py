"""`lightmeter up` with a Prometheus and an Alertmanager of one's own, set up by nothing but what it prints."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from lightmeter import catalog
from lightmeter.catalog import AlertResult
from support.alerting import Alertmanager, every_alert, free_port, told
from support.debian import need
from support.server import eventually, fetch
from support.up import free_ports, start, wait_for
from support.up import told as address_of


pytestmark = [pytest.mark.proof, pytest.mark.timeout(300)]
JOBS = {"server", "exporter", "scaler"}


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[str]:
    """Run one that scrapes something else, as people have it."""
    own = tmp_path / "theirs"
    own.mkdir()
    address = f"127.0.0.1:{free_port()}"
    (own / "prometheus.yml").write_text("global: {scrape_interval: 60s, evaluation_interval: 1s}\n")
    command = [need("prometheus", "prometheus"), f"--config.file={own}/prometheus.yml", f"--storage.tsdb.path={own}/tsdb", f"--web.listen-address={address}", "--web.enable-lifecycle"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        assert eventually(lambda: _answers(f"http://{address}/-/ready"), 30)
        yield f"http://{address}"
        process.terminate()


def _answers(url: str) -> bool:
    try:
        return fetch(url).is_success
    except httpx.TransportError:
        return False


def ask(base: str, query: str) -> list[dict[str, Any]]:
    answer = httpx.get(f"{base}/api/v1/query", params={"query": query}, trust_env=False, timeout=20)
    found: list[dict[str, Any]] = answer.json()["data"]["result"]
    return found


def printed(words: str) -> str:
    """Take the configuration out of what was printed, as people copy it."""
    lines = words.partition("of the same name:\n")[2].partition("and have it")[0].splitlines()
    return "\n".join(line.removeprefix("    ") for line in lines) + "\n"


def test_as_printed(tmp_path: Path, prometheus: str) -> None:
    """Pasting what is printed is enough: parts, rules, live page and scaler work, and an end is no outage.

    An Alertmanager with the configuration that was written tells the scaler what concerns it.
    """
    data = tmp_path / "data"
    data.mkdir()
    quick = {"LIGHTMETER_DASHBOARDS_SCRAPE_INTERVAL": "1", "LIGHTMETER_SCALE_INTERVAL": "1"}
    options = "--model", "still", "--duration", "250", "--load", "10", "--prometheus", prometheus
    with start(data, *free_ports(), *options, **quick) as process:
        words = wait_for(process, "requests answered")
        config = tmp_path / "theirs" / "prometheus.yml"
        config.write_text(config.read_text() + printed(words))
        assert httpx.post(f"{prometheus}/-/reload", trust_env=False).is_success
        said = wait_for(process, "scrapes all parts, and has our rules")
        page, scaler = (address_of(words, name) for name in ("live page", "scaler"))
        shown = eventually(lambda: ask(page.rstrip("/"), f"sum(rate({catalog.REQUESTS.name}[10s])) > 3"), 30)  # fmt: skip
        decided = eventually(lambda: fetch(scaler).json()["decisions"][-1]["observed"]["rate_long"]["value"], 30)  # fmt: skip
        up = {one["metric"]["job"] for one in ask(prometheus, "up == 1")}
        groups = fetch(f"{prometheus}/api/v1/rules").json()["data"]["groups"]
        sick = [rule["name"] for group in groups for rule in group["rules"] if rule["health"] == "err"]  # fmt: skip
        alert = next(one for one in every_alert() if catalog.SCALING_LABEL in one.labels)
        with Alertmanager(tmp_path / "am", data / "prometheus" / "alertmanager.yml").ready() as am:
            am.tell([told(alert)])
            metrics = scaler.partition("/v1")[0] + "/metrics"
            heard = eventually(
                lambda: f'result="{AlertResult.BEGAN}"}} 1.0' in _series(metrics), 40
            )
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)

    assert "does not scrape the server, exporter and scaler yet" in words
    assert "Prometheus scrapes all parts" in said
    assert (True, True, True) == (shown, decided, heard)
    assert JOBS == up
    assert [] == sick
    assert [] == json.loads((data / "prometheus" / "targets.json").read_text())
    assert eventually(lambda: [] == fetch(f"{prometheus}/api/v1/targets").json()["data"]["activeTargets"], 30)  # fmt: skip
    assert eventually(lambda: [] == ask(prometheus, "up"))
    assert [] == ask(prometheus, 'ALERTS{alertstate="firing", component="exporter"}')


def _series(url: str) -> str:
    return "\n".join(line for line in fetch(url).text.splitlines() if line.startswith(catalog.WEBHOOK_ALERTS.name))  # fmt: skip
