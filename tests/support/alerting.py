"""A real Alertmanager for tests, and somebody who takes what it sends."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import httpx
import uvicorn
from prometheus_client import CollectorRegistry

from alerts import packs
from alerts.levels import Bounds, Level
from alerts.objectives import Slo
from alerts.render import labels, said
from alerts.rule import Alert
from alerts.webhook import PATH, Webhook
from lightmeter.catalog import Metric
from lightmeter.errors import OutsideError
from support.debian import need
from support.server import eventually


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def write(folder: Path, files: Mapping[str, str], **replaced: str) -> None:
    """Write generated files, with their example addresses replaced as people do."""
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        for old, new in replaced.items():
            text = text.replace(f"http://127.0.0.1:8080/{old}", new)  # noqa: PLW2901  (one after the other)
        (folder / name).write_text(text)


def every_alert() -> list[Alert]:
    """List the alerts of all packs."""
    return [alert for name in packs.PACKS for alert in packs.make(name, Slo()).alerts]


def told(alert: Alert, **more: str) -> dict[str, Any]:
    """Say an alert of the table as Prometheus would, with the labels of its trial."""
    carried = {**alert.trials[0].labels, **labels(alert), "alertname": alert.name, **more}
    texts = said(alert, Slo().links) | {"summary": alert.trials[0].says}
    return {"labels": {key: str(value) for key, value in carried.items()}, "annotations": texts}


class Alertmanager:
    """On a free port; with ``cluster`` it is one of several, whose ports are ``peers``."""

    def __init__(
        self, folder: Path, config: Path, cluster: int | None = None, peers: Iterable[int] = ()
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.address = f"127.0.0.1:{free_port()}"
        self._log = (folder / "alertmanager.log").open("w")
        listen = f"127.0.0.1:{cluster}" if cluster else ""
        command = [
            need("prometheus-alertmanager", "prometheus-alertmanager"), f"--config.file={config}",
            f"--storage.path={folder}/data", f"--web.listen-address={self.address}",
            f"--cluster.listen-address={listen}", "--cluster.settle-timeout=1s",
            *(f"--cluster.peer=127.0.0.1:{port}" for port in peers),
        ]  # fmt: skip
        self.process = subprocess.Popen(command, stdout=self._log, stderr=self._log)
        self.client = httpx.Client(base_url=f"http://{self.address}/api/v2", trust_env=False)

    def ready(self) -> Self:
        """Wait until it answers."""
        assert eventually(self._answers)
        return self

    def _answers(self) -> bool:
        try:
            return self.client.get("/status").is_success
        except httpx.TransportError:
            return False

    def tell(self, alerts: Iterable[Mapping[str, Any]]) -> None:
        """Tell it alerts as Prometheus does."""
        assert self.client.post("/alerts", json=list(alerts)).is_success

    def silenced(self) -> dict[str, set[str]]:
        """Tell which alerts are inhibited, each with the names of those that do it."""
        known = self.client.get("/alerts").json()
        names = {one["fingerprint"]: one["labels"]["alertname"] for one in known}
        found: dict[str, set[str]] = {}
        for one in known:
            by = {names[other] for other in one["status"]["inhibitedBy"]}
            if by:
                found.setdefault(one["labels"]["alertname"], set()).update(by)
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.process.terminate()
        self.process.wait(30)
        self._log.close()


class Taker:
    """Takes what Alertmanager posts, and keeps it, by path; answers ``status``."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.messages: list[tuple[str, dict[str, Any]]] = []
        self.headers: list[dict[str, str]] = []
        here = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                here.messages.append((self.path, json.loads(body)))
                here.headers.append({name.lower(): text for name, text in self.headers.items()})
                self.send_response(here.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def names(self, path: str, status: str) -> list[str]:
        """List the alerts that came in that status, in order."""
        messages = list(self.messages)
        return [
            alert["labels"]["alertname"]
            for where, message in messages
            if where == path
            for alert in message["alerts"]
            if alert["status"] == status
        ]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Hook:
    """Our webhook in a real server on a free port, and a holder that keeps what it is given."""

    def __init__(self, bounds: Bounds, token_file: Path | None, clock: Callable[[], float] = time.time) -> None:  # fmt: skip
        self.registry = CollectorRegistry()
        self.held: list[tuple[Level, ...]] = []
        self.refuses = False
        self.webhook = Webhook(self, bounds=bounds, token_file=token_file, registry=self.registry, clock=clock)  # fmt: skip
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}{PATH}"
        self._server = uvicorn.Server(uvicorn.Config(self.webhook.app, lifespan="off", log_config=None))  # fmt: skip
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],))

    def hold(self, levels: tuple[Level, ...]) -> None:
        """Keep them."""
        if self.refuses:
            raise OutsideError("the scaler is not ready")
        self.held.append(levels)

    def names(self) -> list[str]:
        """List the alerts that hold, as they were handed over last."""
        return [level.labels["alertname"] for level in self.held[-1]] if self.held else []

    def count(self, metric: Metric, result: str) -> float:
        """Read a counter."""
        return self.registry.get_sample_value(metric.name, {"result": result}) or 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        assert eventually(lambda: self._server.started)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()
