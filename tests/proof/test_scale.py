"""The scaler on real programs: a server, a Prometheus, an Alertmanager, load that comes and goes."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from alerts import packs, render, routes
from alerts.objectives import Objective, Promise, Slo
from alerts.routes import Pace, Routing
from lightmeter import catalog
from lightmeter.catalog import Term, WorkerState
from lightmeter.history import History
from support.alerting import Alertmanager, free_port, write
from support.cli import clean_environment, lightmeter
from support.debian import need
from support.server import Server, eventually, fetch


pytestmark = pytest.mark.proof
ADMIN = "sk-admin-0123456789"
CONFIG = """
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: lightmeter
    static_configs: [{{targets: ["{target}"]}}]
"""


def test_grows(tmp_path: Path) -> None:
    """Load makes workers, up to the bound and no further; each decision comes out again."""
    keys, secret = tmp_path / "keys.toml", tmp_path / "secret"
    keys.write_text(f'[ops]\nkey = "{ADMIN}"\nadmin = true\n')
    secret.write_text(ADMIN)
    prometheus = f"127.0.0.1:{free_port()}"
    with Server(tmp_path / "data", "--keys", str(keys), "--batch", "1", "--max-steps", "1000") as server:  # fmt: skip
        server.key = ADMIN
        server.ready()
        target = server.metrics_url.removeprefix("http://").removesuffix("/metrics")
        (tmp_path / "prometheus.yml").write_text(CONFIG.format(target=target))
        commands = [
            [need("prometheus", "prometheus"), f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/tsdb", f"--web.listen-address={prometheus}"],
            [sys.executable, "-P", "-m", "lightmeter.cli", "scale", "--act", "--port", "0", "--interval", "1", "--max", "3", "--min", "1", "--wait", "1", "--cold-start", "5", "--prometheus", f"http://{prometheus}", "--service", "still", "--target", f"pool:{server.api}", "--secret-file", str(secret), "--data", str(tmp_path)],
        ]  # fmt: skip
        programs = [subprocess.Popen(command, env=clean_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for command in commands]  # fmt: skip
        stop = threading.Event()

        def ask() -> None:
            while not stop.is_set():
                server.post(num_inference_steps=500, size="16x16")

        clients = [threading.Thread(target=ask) for _ in range(8)]
        for client in clients:
            client.start()
        grown = eventually(lambda: _serving(server) == 3, seconds=120)
        most = _serving(server)
        stop.set()
        for client in clients:
            client.join()
        for program in programs:
            program.send_signal(signal.SIGTERM)
            program.wait(30)

    ran = lightmeter("replay", tmp_path / "scale", "--json", cwd=tmp_path)
    said = json.loads(ran.out)
    assert (True, 3) == (grown, most), (tmp_path / "scale/decisions.jsonl").read_text()[-3000:]
    assert (0, []) == (ran.code, said["different"])


SECRET, TOKEN = "sk-admin-0123456789", "0123456789abcdef"
SOON = Pace("1s", "1s", "5s")
SLO = Slo(scrape_interval=1, objective=(Objective(name="wait", kind=Promise.WAIT, target=0.95, within=1),))  # fmt: skip
SHORTER = {"[1h]": "[30s]", "[5m]": "[15s]", "[6h]": "[60s]", "[30m]": "[20s]"}
"""Windows of the generated rules, and what stands for them here: three minutes are no working day."""
CROWD = 45
SLOW = {"size": "64x64", "num_inference_steps": 50}


class Loop:
    """Server, Prometheus, Alertmanager and the scaler, as they stand in a machine room."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.folder, self.server = folder, server
        self.scaler = f"http://127.0.0.1:{free_port()}"
        (folder / "token").write_text(TOKEN)
        routing = Routing(f"{self.scaler}/v1/alerts", str(folder / "token"), SOON, SOON, SOON, SOON)
        write(folder / "routes", routes.alertmanager(SLO, routing))
        rules = render.prometheus(packs.make("recommended", SLO), SLO.links)
        for long, short in SHORTER.items():
            rules = rules.replace(long, short)
        (folder / "rules.yml").write_text(rules)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Start all of it; end it in order."""
        with Alertmanager(self.folder / "am", self.folder / "routes/webhook.yaml") as alertmanager:
            alertmanager.ready()
            prometheus = f"127.0.0.1:{free_port()}"
            config = {
                "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                "rule_files": ["rules.yml"],
                "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager.address]}]}]},
                "scrape_configs": [{"job_name": "lightmeter", "static_configs": [{"targets": [self.server.metrics_url.split("/")[2]]}]}],
            }  # fmt: skip
            (self.folder / "prometheus.yml").write_text(json.dumps(config))
            commands = [
                [need("prometheus", "prometheus"), f"--config.file={self.folder}/prometheus.yml", f"--storage.tsdb.path={self.folder}/tsdb", f"--web.listen-address={prometheus}"],
                [sys.executable, "-P", "-m", "lightmeter.cli", "scale", "--act", "--port", self.scaler.rpartition(":")[2], "--prometheus", f"http://{prometheus}", "--service", "tiny", "--target", f"pool:{self.server.api}", "--secret-file", str(self.folder / "secret"), "--token-file", str(self.folder / "token"), "--data", str(self.folder), *KNOBS],
            ]  # fmt: skip
            programs = [subprocess.Popen(command, env=clean_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for command in commands]  # fmt: skip
            try:
                assert eventually(lambda: fetch_ok(f"http://{prometheus}/-/ready"))
                yield
            finally:
                for program in reversed(programs):
                    program.send_signal(signal.SIGTERM)
                    program.wait(30)

    @property
    def decisions(self) -> list[dict[str, Any]]:
        """Read what was decided so far."""
        lines = (self.folder / "scale/decisions.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines if line.strip()]


KNOBS = ["--interval", "1", "--min", "0", "--max", "3", "--wait", "1", "--cold-start", "6", "--hold-least", "3", "--short-window", "10", "--long-window", "15", "--violation-price", "0", "--turn-price", "0"]  # fmt: skip
"""Prices of nothing: what grows the pool are the queue and the alert, and nothing keeps it."""


def fetch_ok(url: str) -> bool:
    try:
        return fetch(url).is_success
    except httpx.TransportError:
        return False


class Clients:
    """People who ask again as soon as they are answered."""

    def __init__(self, server: Server) -> None:
        self.answers: list[httpx.Response] = []
        self._server = server

    @contextlib.contextmanager
    def asking(self, count: int) -> Iterator[None]:
        """Let so many ask; at the end each still gets the answer to its last question."""
        stop = threading.Event()

        def ask() -> None:
            while not stop.is_set():
                self.answers.append(self._server.post(SLOW))

        threads = [threading.Thread(target=ask) for _ in range(count)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join()


def test_to_zero_and_back(tmp_path: Path) -> None:
    """A load that comes and goes makes workers and lets them go, down to none; nobody notices.

    The queue grows the pool, a burning error budget keeps a floor under it, silence empties it.
    Whoever asks then is answered, later, and told by what; and no second worker is ordered for him.
    """
    (tmp_path / "secret").write_text(SECRET)
    options = "--admin-key-file", str(tmp_path / "secret"), "--batch", "1", "--threads", "1"
    with Server(tmp_path / "data", *options, model="tiny") as server:
        server.ready()
        server.client.timeout = httpx.Timeout(300)
        loop, clients = Loop(tmp_path, server), Clients(server)
        with loop.running():
            with clients.asking(CROWD):
                grown = eventually(lambda: _serving(server) == 3, seconds=300)
                burning = eventually(lambda: any(floors(loop.decisions)), seconds=120)
            with clients.asking(1):
                shrunk = eventually(lambda: loop.decisions[-1]["to"] == 1, seconds=300)
            asleep = eventually(lambda: server.value(catalog.WORKERS) == 0, seconds=300)
            before = len(loop.decisions)
            ready = server.client.get("/readyz")
            woken = server.post(SLOW)
            meanwhile = loop.decisions[before:]
            again = eventually(lambda: server.value(catalog.WORKERS) == 0, seconds=120)
        decided = loop.decisions

    ran = lightmeter("replay", tmp_path / "scale", "--json", cwd=tmp_path)
    said = json.loads(ran.out)
    told = json.dumps(decided[-3:], indent=1)
    assert (True, True, True, True, True) == (grown, burning, shrunk, asleep, again), told
    assert (200, True) == (ready.status_code, ready.json()["wakes"])
    assert 200 == woken.status_code
    assert woken.json()["timings"]["queue"] > 1
    assert {(1, 1)} == {(record["from"], record["to"]) for record in meanwhile if record["from"]}
    assert {200} == {answer.status_code for answer in clients.answers}
    assert {"ok": len(clients.answers) + 1} == History(tmp_path / "data/history").summary()["outcomes"]  # fmt: skip
    assert (0, []) == (ran.code, said["different"])
    assert len(decided) == said["decisions"]


def floors(decided: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Find the decisions in which a burning budget asked for more than one replica."""
    return [record for record in decided if record["votes"].get(Term.BURN_RATE, 0) > 1]


def _serving(server: Server) -> float:
    try:
        return sum(server.value(catalog.WORKERS, state=state) for state in (WorkerState.READY, WorkerState.BUSY))  # fmt: skip
    except httpx.TransportError:
        return 0
