"""``rules generate --reload``: one command puts the rules into a real Prometheus."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest

from alerts.install import reload
from lightmeter.errors import ServerError
from support.alerting import free_port
from support.cli import lightmeter
from support.debian import need
from support.server import eventually


@contextmanager
def prometheus(folder: Path, rule_files: str, *options: str) -> Iterator[str]:
    config = folder / "prometheus.yml"
    config.write_text(f"rule_files: [{rule_files}]\n")
    url = f"http://127.0.0.1:{free_port()}"
    command = [need("prometheus", "prometheus"), f"--config.file={config}", f"--storage.tsdb.path={folder}/tsdb", f"--web.listen-address={url.removeprefix('http://')}", *options]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        assert eventually(lambda: _ready(url))
        try:
            yield url
        finally:
            process.terminate()


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/-/ready", trust_env=False).is_success
    except httpx.TransportError:
        return False


def test_installed(tmp_path: Path) -> None:
    """Prometheus takes all groups, and the command says so."""
    with prometheus(tmp_path, "rules/prometheus/*.yaml", "--web.enable-lifecycle") as url:
        ran = lightmeter("rules", "generate", "--reload", url, cwd=tmp_path)
        groups = httpx.get(f"{url}/api/v1/rules", trust_env=False).json()["data"]["groups"]

    assert 0 == ran.code, ran.err
    count = sum(len(group["rules"]) for group in groups)
    assert f"Prometheus has taken {count} rules in {len(groups)} groups" == ran.out.splitlines()[-1]


def test_elsewhere(tmp_path: Path) -> None:
    """A Prometheus that reads another folder is not taken for one that has the rules."""
    with prometheus(tmp_path, "others/*.yaml", "--web.enable-lifecycle") as url:
        ran = lightmeter("rules", "generate", "--pack", "classic", "--reload", url, cwd=tmp_path)

    assert 3 == ran.code
    assert "does rule_files in its configuration match the folder?" in ran.err


def test_no_lifecycle(tmp_path: Path) -> None:
    """One that does not reload on request is named with the flag that it lacks."""
    with prometheus(tmp_path, "rules/prometheus/*.yaml") as url:
        ran = lightmeter("rules", "generate", "--reload", url, cwd=tmp_path)

    assert 3 == ran.code
    assert "--web.enable-lifecycle" in ran.err


def test_no_reload() -> None:
    """What has no rules to reload, like our own store, is told from a Prometheus that refuses them."""
    with (
        HTTPServer(("127.0.0.1", 0), Nothing) as server,
        ThreadPoolExecutor(1) as thread,
    ):
        thread.submit(server.handle_request)
        with pytest.raises(ServerError, match="has no /-/reload"):
            reload(f"http://127.0.0.1:{server.server_port}", [])


class Nothing(BaseHTTPRequestHandler):
    """Has no route at all."""

    def do_POST(self) -> None:
        """Refuse."""
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        """Say nothing of it."""
