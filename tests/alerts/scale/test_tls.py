"""The scaler behind TLS: who is let in, and what happens when certificates change."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from alerts.scale import targets
from alerts.scale.observe import Prometheus
from alerts.scale.shown import Protocol
from alerts.webhook import PATH
from lightmeter import catalog, connections
from lightmeter.catalog import Term
from lightmeter.errors import ServerError, SettingError, TargetError
from lightmeter.tls import Files
from lightmeter.trust import believe
from support.certs import Authority
from support.gateway import Gateway
from support.scaling_process import alert, running


TOKEN = "0123456789abcdef0123"  # noqa: S105  (of a test)
BEARER = {"authorization": f"Bearer {TOKEN}"}


def options(folder: Path, *more: str) -> list[str]:
    return ["--tls-cert-file", f"{folder}/scaler.crt", "--tls-key-file", f"{folder}/scaler.key", *more]  # fmt: skip


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    made = Authority(tmp_path)
    made.issue("scaler")
    made.issue("alertmanager")
    return made


def test_certificates(tmp_path: Path, ours: Authority) -> None:
    """A client of the authority needs no token; others need one; a stranger's is refused; so is plain text."""
    theirs = Authority(tmp_path, "other")
    theirs.issue("stranger")
    token = tmp_path / "token"
    token.write_text(TOKEN)
    more = ("--client-ca-file", str(ours.certificate), "--token-file", str(token))
    with running(tmp_path, *options(tmp_path, *more)) as url:
        anybody = httpx.Client(base_url=url, verify=ours.client(), trust_env=False)
        known = httpx.Client(base_url=url, verify=ours.client("alertmanager"), trust_env=False)
        stranger = ours.client()
        stranger.load_cert_chain(tmp_path / "stranger.crt", tmp_path / "stranger.key")

        assert url.startswith("https://")
        assert 200 == anybody.get("/metrics").status_code
        assert [401, 401] == [anybody.post(path, json=alert("firing")).status_code for path in (PATH, "/v1/freeze")]  # fmt: skip
        assert 200 == anybody.post("/v1/freeze", json={}, headers=BEARER).status_code
        assert 200 == known.post("/v1/freeze", json={"seconds": 0}).status_code
        assert 1 == known.post(PATH, json=alert("firing")).json()["began"]
        with pytest.raises(httpx.TransportError):
            httpx.post(f"{url}{PATH}", json=alert("firing"), verify=stranger, trust_env=False)
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{url.replace('https', 'http')}/metrics", trust_env=False)
        refused = f'{catalog.WEBHOOK_POSTS.name}{{result="unauthorized"}} 1.0'
        assert refused in anybody.get("/metrics").text

        theirs.issue("scaler")  # another certificate in the same files
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{url}/healthz", verify=ours.client(), trust_env=False)
        assert 200 == httpx.get(f"{url}/healthz", verify=theirs.client(), trust_env=False).status_code  # fmt: skip
        known.close()
        anybody.close()


def test_certificate_alone(tmp_path: Path, ours: Authority) -> None:
    """Without a file of tokens a certificate is the only way in, also from other machines."""
    more = ("--client-ca-file", str(ours.certificate), "--host", "0.0.0.0")  # noqa: S104  (what is tested)
    with running(tmp_path, *options(tmp_path, *more)) as url:
        there = f"https://localhost:{url.rpartition(':')[2]}{PATH}"
        sent = [
            httpx.post(there, json=alert("firing"), headers=BEARER, verify=context, trust_env=False)
            for context in (ours.client(), ours.client("alertmanager"))
        ]

    assert [401, 200] == [answer.status_code for answer in sent]


def test_half_changed(tmp_path: Path, ours: Authority) -> None:
    """While a certificate and its key do not fit, the old pair is shown; then the new one."""
    files = Files(tmp_path / "scaler.crt", tmp_path / "scaler.key", ours.certificate)
    assert not files.changed()
    ours.issue("next")
    time.sleep(0.01)
    (tmp_path / "scaler.crt").write_bytes((tmp_path / "next.crt").read_bytes())
    assert not files.changed()
    (tmp_path / "scaler.key").write_bytes((tmp_path / "next.key").read_bytes())
    assert files.changed()
    assert not files.changed()


def test_no_use(tmp_path: Path, ours: Authority) -> None:
    """Files that are no certificate, key or authority are named."""
    noise = tmp_path / "noise"
    noise.write_text("noise")
    good = tmp_path / "scaler.crt", tmp_path / "scaler.key"

    with pytest.raises(SettingError, match="noise' are no certificate and its key"):
        Files(good[0], noise)
    with pytest.raises(SettingError, match="noise' holds no certificate"):
        Files(*good, noise)
    assert ssl.CERT_OPTIONAL == Files(*good, ours.certificate).context().verify_mode


def test_own_authority(tmp_path: Path, ours: Authority) -> None:
    """A pool, an endpoint, a Prometheus and a gateway's scaler may have certificates of the house, once it is named."""
    believed = ours.client()
    with running(tmp_path, *options(tmp_path)) as url:
        for trust, said in ((None, "certificate verify failed"), (believed, "40[0-9]")):
            with pytest.raises(TargetError, match=said):
                targets.parse(f"webhook:{url}/nowhere", "a secret", trust).scale(1)
            with pytest.raises(TargetError, match="certificate verify failed" if trust is None else r"refused GET|no JSON of ours"):  # fmt: skip
                targets.parse(f"pool:{url}", "", trust).fleet()
            with pytest.raises(ServerError, match=said):
                Prometheus(url, "shop", 30.0, trust=trust).check()
        woken = waking(url, "--ca-file", str(ours.certificate))
        refused = waking(url)
        decisions = httpx.get(f"{url}/v1/decisions", verify=believed, trust_env=False).json()

    assert "certificate verify failed" in refused
    assert "advisory: nothing was done" in woken
    assert Term.WAKE in {one["chosen_term"] for one in decisions["decisions"]}


def waking(url: str, *more: str) -> str:
    """Have a gateway without servers ask a scaler for one; return what its client is told."""
    with Gateway("http://127.0.0.1:9", "--wake", url, "--wake-wait", "1", *more) as gateway:
        answer = gateway.post()
    assert 503 == answer.status_code
    return answer.text


async def nobody(scope: Any, receive: Any, send: Any) -> None:
    """Answer nothing."""
    del scope, receive, send


def test_slow_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection on which no request comes is closed, so that none can take all of the scaler's."""
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.2)
    server = uvicorn.Server(uvicorn.Config(nobody, http=Protocol, lifespan="off", log_config=None))
    with socket.create_server(("127.0.0.1", 0)) as sock:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
        thread.start()
        with socket.create_connection(sock.getsockname(), timeout=20) as client:
            client.sendall(b"POST /v1/al")
            assert b"" == client.recv(100)
        server.should_exit = True
        thread.join()


def test_no_authority(tmp_path: Path) -> None:
    """A file that holds no authority is named with its setting, at the start."""
    (tmp_path / "noise").write_text("noise")
    with pytest.raises(SettingError, match=r"x.ca_file .*noise' holds no certificate"):
        believe(ssl.create_default_context(), tmp_path / "noise", "x.ca_file")
    with pytest.raises(SettingError, match=r"x.ca_file .*none' does not exist"):
        believe(ssl.create_default_context(), tmp_path / "none", "x.ca_file")
