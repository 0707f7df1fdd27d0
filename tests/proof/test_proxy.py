"""deploy/proxy: a real nginx with our configuration in front of real servers."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from lightmeter.settings import Serve
from lightmeter.settings_gateway import Gateway
from support.certs import Authority
from support.debian import need
from support.server import GENERATIONS, Server


pytestmark = pytest.mark.proof
ROOT = Path(__file__).parents[2] / "deploy"
CONFIGURATION = (ROOT / "proxy" / "nginx.conf").read_text()
AROUND = "daemon off; pid {folder}/pid; error_log {folder}/error.log; events {{}} http {{ access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; include {folder}/ours.conf; }}"  # fmt: skip


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    """Two servers that believe whoever is on this machine."""
    with contextlib.ExitStack() as open_ones:
        options = ("--trusted-proxy", "127.0.0.1", "--max-steps", "1000")
        yield [open_ones.enter_context(Server(tmp_path_factory.mktemp("data"), *options)).ready() for _ in range(2)]  # fmt: skip


@pytest.fixture(scope="module")
def front(servers: list[Server], tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:  # fmt: skip
    """Nginx in front of them, as deployed but for its addresses."""
    program, folder = need("nginx", "nginx"), tmp_path_factory.mktemp("nginx")
    authority = Authority(folder)
    authority.issue("images")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    ports = [httpx.URL(one.api).port for one in servers]
    text = CONFIGURATION.replace("listen 8443", f"listen 127.0.0.1:{port}")
    text = text.replace("server 127.0.0.1:7860", f"server 127.0.0.1:{ports[0]}").replace("# server 10.0.0.8:7860", f"server 127.0.0.1:{ports[1]}")  # fmt: skip
    text = text.replace("/etc/nginx/tls", f"{folder}/images")
    (folder / "ours.conf").write_text(text)
    (folder / "nginx.conf").write_text(AROUND.format(folder=folder))
    with subprocess.Popen([program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]) as process:  # fmt: skip
        context = authority.client()
        with httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=context, timeout=60, trust_env=False) as client:  # fmt: skip
            _wait(client)
            yield client
        process.terminate()


def _wait(client: httpx.Client) -> None:
    for _ in range(200):
        try:
            client.get("/healthz")
        except (httpx.TransportError, ssl.SSLError):
            time.sleep(0.05)
        else:
            return
    raise AssertionError("nginx does not start")


def test_picture(front: httpx.Client) -> None:
    """A picture comes through, and its address is the one that the client used."""
    answer = front.post(GENERATIONS, json={"prompt": "x", "response_format": "url"})
    address = httpx.URL(answer.raise_for_status().json()["data"][0]["url"])

    assert ("https", front.base_url.port) == (address.scheme, address.port)
    assert front.get(str(address)).is_success


def test_progress(front: httpx.Client) -> None:
    """Progress arrives step by step, not at the end."""
    asked = {"prompt": "x", "stream": True, "num_inference_steps": 1000, "size": "16x16"}
    with front.stream("POST", GENERATIONS, json=asked) as stream:
        arrived = [time.monotonic() for line in stream.iter_lines() if line.startswith("event:")]

    assert len(arrived) > 10
    assert arrived[-1] - arrived[0] > 0.5


def test_brake_is_closed(front: httpx.Client, servers: list[Server]) -> None:
    """Nobody reaches the admin routes from outside."""
    assert 404 == front.get("/admin/limits").status_code
    assert 404 != servers[0].client.get("/admin/limits").status_code


def test_large_body(front: httpx.Client) -> None:
    """What the server would refuse for its size is refused."""
    assert 413 == front.post(GENERATIONS, content=b"x" * 1_100_000).status_code


def test_patience() -> None:
    """Both proxies wait longer than what is behind them, so a 504 comes with the server's own words."""
    route = yaml.safe_load((ROOT / "proxy" / "gateway-api.yaml").read_text())
    timeouts = {name: float(value.removesuffix("s")) for name, value in route["spec"]["rules"][0]["timeouts"].items()}  # fmt: skip

    assert f"proxy_read_timeout {Serve.model_fields['deadline'].default + 30:g}s" in CONFIGURATION
    assert (
        Gateway.model_fields["deadline"].default < timeouts["backendRequest"] < timeouts["request"]
    )
    assert (
        f"client_max_body_size {Serve.model_fields['max_body_bytes'].default // 2**20}m"
        in CONFIGURATION
    )


def test_one_gone(front: httpx.Client, servers: list[Server]) -> None:
    """A server that is gone is not noticed by who asks."""
    servers[1].kill()
    servers[1].process.wait()

    assert {200} == {front.post(GENERATIONS, json={"prompt": "x"}).status_code for _ in range(20)}
