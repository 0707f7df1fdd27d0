"""A real Prometheus scrapes a real exporter, and is asked what public dashboards ask."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bcrypt
import httpx
import pytest

from lightmeter import catalog
from lightmeter.catalog import Dcgm
from support.certs import Authority
from support.debian import need
from support.exporter import Exporter
from support.nvml import FakeNvml
from support.server import eventually


pytestmark = pytest.mark.proof
CONFIG = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: gpu
    static_configs: [{{targets: ["{target}"]}}]
{more}
"""
CHOSEN = '{instance=~"%s", gpu=~"%s"}'
DASHBOARD = (
    f"{Dcgm.GPU_TEMP}{CHOSEN}",
    f"avg({Dcgm.GPU_TEMP}{CHOSEN})",
    f"{Dcgm.POWER_USAGE}{CHOSEN}",
    f"sum({Dcgm.POWER_USAGE}{CHOSEN})",
    f"{Dcgm.SM_CLOCK}{CHOSEN} * 1000000",
    f"{Dcgm.GPU_UTIL}{CHOSEN}",
    f"{Dcgm.FB_USED}{CHOSEN}",
    f"{Dcgm.TENSOR_ACTIVE}{CHOSEN}",
)
"""What https://grafana.com/grafana/dashboards/12239 asks (read 2026-11); its two variables are the
values of the labels ``instance`` and ``gpu`` of the temperature."""


class Prometheus:
    """A server of its own for one target."""

    def __init__(self, folder: Path, target: str, more: str = "") -> None:
        self._program = need("prometheus", "prometheus")
        (folder / "prometheus.yml").write_text(CONFIG.format(target=target, more=more))
        with socket.create_server(("127.0.0.1", 0)) as probe:
            address = f"127.0.0.1:{probe.getsockname()[1]}"
        self.api = f"http://{address}/api/v1"
        self._command = [self._program, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb", f"--web.listen-address={address}"]  # fmt: skip

    @contextlib.contextmanager
    def running(self) -> Iterator[Prometheus]:
        """Run it."""
        with subprocess.Popen(
            self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            yield self
            process.terminate()

    def get(self, path: str, **params: str) -> list[Any]:
        """Ask its API; empty where it does not answer yet."""
        try:
            answer = httpx.get(f"{self.api}/{path}", params=params, trust_env=False)
        except httpx.TransportError:
            return []
        data = answer.json().get("data", []) if answer.is_success else []
        found: list[Any] = data["result"] if isinstance(data, dict) else data
        return found

    def query(self, query: str) -> list[float]:
        """Ask for the values of an expression."""
        return [float(one["value"][1]) for one in self.get("query", query=query)]


@pytest.fixture
def exporter(tmp_path: Path) -> Iterator[Exporter]:
    fake = FakeNvml(tmp_path, gpus=8)
    with Exporter("--gpus", "8", **fake.environment) as running:
        yield running


def test_dashboard(exporter: Exporter, tmp_path: Path) -> None:
    """Every query of dashboard 12239, with its variables, has data; one series for each GPU."""
    target = exporter.url.split("/")[2]
    with Prometheus(tmp_path, target).running() as prometheus:
        match = {"match[]": Dcgm.GPU_TEMP}
        assert eventually(lambda: len(prometheus.get("label/gpu/values", **match)) == 8, 40)
        assert eventually(lambda: len(prometheus.query(Dcgm.TENSOR_ACTIVE)) == 8, 20)
        gpus = "|".join(prometheus.get("label/gpu/values", **match))
        instances = prometheus.get("label/instance/values", **match)

        assert [target] == instances
        for query in DASHBOARD:
            expected = 1 if "(" in query else 8
            assert expected == len(prometheus.query(query % (instances[0], gpus))), query
        assert [8.0] == prometheus.query(f"count({Dcgm.POWER_USAGE})")
        assert [1.0] == prometheus.query("up")


def test_secured(tmp_path: Path) -> None:
    """Over TLS with a password, and with silent clients about, no scrape is late or lost."""
    authority = Authority(tmp_path)
    authority.issue("server")
    hashed = bcrypt.hashpw(b"open sesame", bcrypt.gensalt(10)).decode()
    web = tmp_path / "web.yml"
    web.write_text(
        "tls_server_config: {cert_file: server.crt, key_file: server.key}\n"
        f"basic_auth_users: {{prometheus: {hashed}}}\n"
    )
    more = (
        f"    scheme: https\n    tls_config: {{ca_file: {authority.certificate}}}\n"
        "    basic_auth: {username: prometheus, password: open sesame}\n"
    )
    with (
        Exporter("--web.config.file", str(web), "--connections", "8") as running,
        contextlib.ExitStack() as silent,
    ):
        target = running.url.split("/")[2]
        host, port = target.split(":")
        silent.enter_context(socket.create_connection((host, int(port))))
        with Prometheus(tmp_path, target, more).running() as prometheus:
            assert eventually(lambda: [1.0] == prometheus.query("up"), 40)
            for _ in range(50):
                silent.enter_context(socket.create_connection((host, int(port))))
            assert eventually(lambda: [8.0] <= prometheus.query("count_over_time(up[1m])"), 40)
            assert [1.0] == prometheus.query("min_over_time(up[5s])")
            assert prometheus.query(catalog.SCRAPES.name)[0] >= 5
