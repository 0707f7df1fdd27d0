"""Every listener behind TLS, as a client that trusts one authority and nothing else sees it."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from lightmeter.errors import SettingError
from lightmeter.tls import Files
from support.certs import Authority
from support.cli import clean_environment, lightmeter
from support.debian import need


COMMANDS = {
    "serve": ["serve", "--model", "still", "--workers", "0", "--metrics-port", "0"],
    "gateway": ["gateway", "--upstream", "http://127.0.0.1:1", "--metrics-port", "0"],
    "localprom": ["localprom", "--targets", ""],
    "dashboards": ["dashboards", "serve", "--prometheus", "http://127.0.0.1:1"],
}
PAGES = {"serve": "/healthz", "gateway": "/healthz", "localprom": "/-/ready", "dashboards": "/"}


@contextlib.contextmanager
def listening(folder: Path, command: list[str]) -> Iterator[list[str]]:
    """Start a command behind TLS on a free port; yield the addresses that it announces."""
    more = ["--port", "0", "--tls-cert-file", "us.crt", "--tls-key-file", "us.key"]
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "lightmeter.cli", *command, *more],
        stdout=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=clean_environment(OMP_NUM_THREADS="1"),
    )
    assert process.stdout is not None
    wanted = 2 if "--metrics-port" in command else 1
    said: list[str] = []
    try:
        for line in process.stdout:
            said += re.findall(r"https?://[\w.:\[\]]+", line)[:1]
            if len(said) >= wanted:
                break
        yield said
    finally:
        process.send_signal(signal.SIGTERM)
        process.stdout.close()
        process.wait(60)


@pytest.mark.parametrize("name", COMMANDS)
def test_listener(name: str, tmp_path: Path) -> None:
    """With a certificate all ports of a command speak TLS, /metrics too, and none speaks HTTP."""
    authority = Authority(tmp_path)
    authority.issue("us")
    with listening(tmp_path, COMMANDS[name]) as said:
        paths = [PAGES[name], "/metrics"]
        for address, path in zip(said, paths, strict=False):
            assert address.startswith("https://")
            answer = eventually(address + path, authority)
            assert 200 == answer.status_code
            with pytest.raises(httpx.TransportError):
                httpx.get(address.replace("https", "http") + path, trust_env=False, timeout=5)


def test_own_authority(tmp_path: Path) -> None:
    """The live page reads a Prometheus whose certificate is of one's own house."""
    Authority(tmp_path, "other")
    authority = Authority(tmp_path)
    authority.issue("us")
    with listening(tmp_path, COMMANDS["localprom"]) as (store,):
        eventually(f"{store}/-/ready", authority)
        codes = []
        for name in ("ca.crt", "other.crt"):
            command = ["dashboards", "serve", "--prometheus", store, "--ca-file", name]
            with listening(tmp_path, command) as (page,):
                codes.append(eventually(f"{page}/api/v1/query?query=1", authority).status_code)

    assert [200, 502] == codes


def eventually(url: str, authority: Authority) -> httpx.Response:
    """Ask until somebody answers: an address is announced a moment before."""
    for _ in range(200):
        with contextlib.suppress(httpx.ConnectError):
            return httpx.get(url, verify=authority.client(), trust_env=False, timeout=20)
        time.sleep(0.05)
    raise AssertionError(url)


def test_silent_scraper(tmp_path: Path) -> None:
    """Who connects to /metrics and never shakes hands keeps nobody else from reading it."""
    authority = Authority(tmp_path)
    authority.issue("us")
    with listening(tmp_path, COMMANDS["gateway"]) as said:
        eventually(f"{said[1]}/metrics", authority)
        with socket.create_connection(("127.0.0.1", int(said[1].rpartition(":")[2]))):
            assert 200 == eventually(f"{said[1]}/metrics", authority).status_code


def test_old_versions(tmp_path: Path) -> None:
    """A client that speaks no more than TLS 1.1 gets no handshake; one of TLS 1.2 does."""
    authority = Authority(tmp_path)
    authority.issue("us")
    with listening(tmp_path, COMMANDS["gateway"]) as said:
        eventually(f"{said[1]}/metrics", authority)
        for address in said:
            for version, code in (("-tls1", 1), ("-tls1_1", 1), ("-tls1_2", 0)):
                command = [need("openssl", "openssl"), "s_client", "-connect", address.partition("//")[2], version, "-cipher", "ALL:@SECLEVEL=0"]  # fmt: skip
                ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60)  # fmt: skip
                assert code == ran.returncode, (address, version)


def test_passphrase(tmp_path: Path) -> None:
    """A key with a passphrase is refused in one line; nobody is asked for it on a terminal."""
    authority = Authority(tmp_path)
    authority.issue("us")
    subprocess.run([need("openssl", "openssl"), "ec", "-in", "us.key", "-aes128", "-passout", "pass:secret", "-out", "locked.key"], cwd=tmp_path, check=True, capture_output=True)  # fmt: skip

    with pytest.raises(SettingError, match="are no certificate and its key"):
        Files(tmp_path / "us.crt", tmp_path / "locked.key")


@pytest.mark.parametrize("command", COMMANDS.values(), ids=list(COMMANDS))
def test_half(command: list[str], tmp_path: Path) -> None:
    """A certificate without its key is refused before anything listens, not served as HTTP."""
    (tmp_path / "us.crt").write_text("x")
    ran = lightmeter(*command, "--port", "0", "--tls-cert-file", "us.crt", cwd=tmp_path)

    assert "go together: a certificate needs its key; give both files" in ran.refusal()


def test_up(tmp_path: Path) -> None:
    """What all of it together cannot do behind TLS it refuses, instead of speaking HTTP unasked."""
    ran = lightmeter("up", "--duration", "1", cwd=tmp_path, LIGHTMETER_SERVE_TLS_CERT_FILE="us.crt")

    assert 2 == ran.code
    assert (
        "serve.tls_cert_file is 'us.crt'; the parts of 'lightmeter up' speak plain HTTP" in ran.err
    )
