"""What watches the stack: Prometheus and Alertmanager from the system, else localprom; and what they said."""

from __future__ import annotations

import json
import re
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import httpx

from alerts import packs, render, routes
from alerts.objectives import Slo, parse
from alerts.routes import Pace, Routing
from bench.chaos.judge import Firing


SOON = Pace("1s", "1s", "5s")
OBJECTIVES = """
scrape_interval = 1
[[objective]]
name = "availability"
kind = "availability"
target = 0.995
[alerts.LightmeterMetricsMissing]
hold = 1
[alerts.LightmeterGpuDown]
hold = 1
[alerts.LightmeterExporterDead]
hold = 1
[alerts.LightmeterErrorBudgetBurn1d]
enabled = false
[alerts.LightmeterErrorBudgetBurn3d]
enabled = false
"""
"""Causes hold for a second, so that each can be waited for; tickets about days do not fit into an hour."""
SHORTER = {"2m": "10s", "3m": "15s", "5m": "15s", "10m": "20s", "15m": "20s", "30m": "20s", "1h": "30s", "2h": "40s", "6h": "60s"}  # fmt: skip
"""Windows of the generated rules, and what stands for them here."""
ALWAYS = "LightmeterWatchdog"


def programs() -> tuple[str | None, str | None]:
    """Find Prometheus and Alertmanager, as Debian calls them; both or none are used."""
    alertmanager = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    prometheus = shutil.which("prometheus")
    return (prometheus, alertmanager) if prometheus and alertmanager else (None, None)


def slo() -> Slo:
    """Read the objectives of a run."""
    return parse(OBJECTIVES, "chaos")


def rules() -> str:
    """Make the shipped rules with the shorter windows."""
    text = render.prometheus(packs.make("recommended", slo()), slo().links)
    return re.sub(r"\[(\w+)\]", lambda found: f"[{SHORTER.get(found[1], found[1])}]", text)


def write(folder: Path, *, scaler: str, alertmanager: str, pages: str, token: Path) -> None:
    """Write Alertmanager's configuration and the rules; ``pages`` takes what people would be told."""
    routing = Routing(f"{scaler}/v1/alerts", str(token), SOON, SOON, SOON, SOON)
    for name, text in routes.alertmanager(slo(), routing).items():
        told = re.sub(r"http://127\.0\.0\.1:8080/(pages|tickets)", f"{pages}/\\1", text)
        (folder / name).write_text(told)
    (folder / "rules.yml").write_text(rules())
    (folder / "slo.toml").write_text(OBJECTIVES)
    (folder / "alertmanager.address").write_text(alertmanager)


def prometheus_yml(folder: Path, targets: dict[str, str], alertmanager: str) -> None:
    """Write Prometheus's configuration, with a job for each program."""
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]},
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [page.split("/")[2]]}]}
            for job, page in targets.items()
        ],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))


class Alerts(threading.Thread):
    """Follows the alerts that fire, once a second; while nobody answers, what fired goes on."""

    def __init__(self, url: str) -> None:
        super().__init__(name="alerts", daemon=True)
        self._url, self._ended = url, threading.Event()
        self._open: dict[tuple[str, str], float] = {}
        self._closed: list[Firing] = []

    def run(self) -> None:
        """Look until the end."""
        with httpx.Client(trust_env=False, timeout=5) as client:
            while not self._ended.wait(1):
                try:
                    found = client.get(f"{self._url}/api/v1/alerts").raise_for_status().json()
                except (httpx.HTTPError, ValueError):
                    continue
                self._take(found["data"]["alerts"])

    def _take(self, alerts: list[dict[str, Any]]) -> None:
        now = time.monotonic()
        fire = {_key(one["labels"]) for one in alerts if one["state"] == "firing" and one["labels"]["alertname"] != ALWAYS}  # fmt: skip
        for key in fire - set(self._open):
            self._open[key] = now
        for key in set(self._open) - fire:
            self._closed.append(Firing(*key, self._open.pop(key), now))

    def firing(self, name: str, since: float = 0.0) -> bool:
        """Tell whether an alert fires that began after a moment."""
        return any(key[0] == name and at >= since for key, at in list(self._open.items()))

    def any(self, name: str) -> bool:
        """Tell whether an alert fires at all."""
        return any(key[0] == name for key in list(self._open))

    @property
    def history(self) -> list[Firing]:
        """List all that fired, those first that are over."""
        return [*self._closed, *(Firing(*key, at, None) for key, at in list(self._open.items()))]

    def close(self) -> None:
        """Look no more."""
        self._ended.set()
        self.join()


def _key(labels: dict[str, str]) -> tuple[str, str]:
    who = labels.get("service") or labels.get("UUID") or labels.get("instance") or ""
    return labels["alertname"], " ".join(filter(None, (who, labels.get("slo"))))
