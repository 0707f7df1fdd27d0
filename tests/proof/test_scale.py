"""The scaler on real programs: a server, a Prometheus, load that comes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

from lightmeter import catalog
from lightmeter.catalog import WorkerState
from support.alerting import free_port
from support.cli import clean_environment, lightmeter
from support.debian import need
from support.server import Server, eventually


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


def _serving(server: Server) -> float:
    try:
        return sum(server.value(catalog.WORKERS, state=state) for state in (WorkerState.READY, WorkerState.BUSY))  # fmt: skip
    except httpx.TransportError:
        return 0
