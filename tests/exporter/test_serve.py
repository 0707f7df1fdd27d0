"""The server in front of the page: what no client can do to the others."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bcrypt
import httpx
import pytest

from exporter import serve
from exporter.http1 import Answer, Request
from exporter.serve import Bucket, Server
from exporter.web import Rules, Web
from lightmeter.listening import listen
from support.certs import Authority
from support.clock import Clock
from support.server import eventually


HASH = bcrypt.hashpw(b"open sesame", bcrypt.gensalt(4)).decode()
MTLS = "\n  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(tmp_path_factory.mktemp("certs"))
    made.issue("server")
    made.issue("prometheus", "DNS:prometheus.example")
    made.issue("stranger", "DNS:stranger.example")
    return made


def app(request: Request) -> Answer:
    if request.path == "/boom":
        raise RuntimeError("boom")
    return Answer(200, f"{request.method} {request.path}\n" + "x" * 1000)


@contextlib.contextmanager
def serving(
    path: Path | None = None, limit: int = 64, app: Callable[[Request], Answer] = app
) -> Iterator[Server]:
    server = Server(listen("127.0.0.1", 0), app, Web(path), limit=limit)
    try:
        yield server
    finally:
        server.close()


def secured(authority: Authority, more: str = "", name: str = "web.yml") -> Path:
    path = authority.folder / name
    path.write_text(f"tls_server_config:\n  cert_file: server.crt\n  key_file: server.key{more}\n")
    return path


def get(server: Server, path: str = "/metrics", verify: ssl.SSLContext | None = None, **more: Any) -> httpx.Response:  # fmt: skip
    scheme = "https" if verify else "http"
    with httpx.Client(verify=verify or True, trust_env=False, timeout=20) as client:
        return client.get(f"{scheme}://127.0.0.1:{server.port}{path}", **more)


def dial(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=20)


def ask(server: Server, request: bytes) -> bytes:
    with dial(server) as sock:
        sock.sendall(request)
        return b"".join(iter(lambda: sock.recv(65_536), b""))


def test_get() -> None:
    """A page comes whole, without its query."""
    with serving() as server:
        assert "GET /metrics\n" == get(server, "/metrics?x=1").text[:13]


def test_head() -> None:
    """HEAD tells the length and sends nothing more."""
    with serving() as server, httpx.Client(trust_env=False) as client:
        answer = client.head(f"http://127.0.0.1:{server.port}/metrics")

    assert ("1014", b"") == (answer.headers["content-length"], answer.content)


def test_kept() -> None:
    """A scraper keeps its connection; what it sends ahead is answered in order."""
    one = b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n"
    with serving() as server:
        text = ask(server, one % 1 + one % 2 + b"GET /3 HTTP/1.1\r\nConnection: close\r\n\r\n")

    assert [b"GET /1", b"GET /2", b"GET /3"] == [line for line in text.splitlines() if line[:5] == b"GET /"]  # fmt: skip


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /metrics HTTP/1.0\r\n\r\n", 200),
        (b"GET http://host/metrics HTTP/1.1\r\nConnection: close\r\n\r\n", 200),
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", 405),
        (b"GET /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", 200),
        (b"GET /metrics HTTP/2\r\n\r\n", 505),
        (b"GET /metrics\r\n\r\n", 400),
        (b"\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nSpace : x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nLong: " + b"x" * 20_000 + b"\r\n\r\n", 431),
    ],
)
def test_requests(request_: bytes, status: int) -> None:
    """Whatever is asked gets an honest answer, and the connection ends."""
    with serving() as server:
        answer = ask(server, request_)

    assert b"HTTP/1.1 %d " % status == answer[:13]
    assert 1 == answer.count(b"HTTP/1.1 ")


def test_failing_request(caplog: pytest.LogCaptureFixture) -> None:
    """A fault in answering one client is logged and ends for that client only."""
    with serving() as server:
        assert b"" == ask(server, b"GET /boom HTTP/1.1\r\n\r\n")
        assert 200 == get(server).status_code

    assert "boom" in caplog.text


def test_tls(authority: Authority) -> None:
    """With a certificate the page comes over TLS, and plain requests get nothing."""
    with serving(secured(authority)) as server:
        assert 200 == get(server, verify=authority.client()).status_code
        with contextlib.suppress(ConnectionResetError):
            assert not ask(server, b"GET /metrics HTTP/1.1\r\n\r\n").startswith(b"HTTP")


def test_silent_client(authority: Authority) -> None:
    """One client that connects and says nothing does not delay a scrape over TLS."""
    with serving(secured(authority)) as server, dial(server):
        assert 200 == get(server, verify=authority.client()).status_code


def test_slow_handshake(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """A handshake that goes on byte by byte has a limit in all."""
    monkeypatch.setattr(serve, "HEAD_SECONDS", 0.5)
    with serving(secured(authority)) as server, dial(server) as sock:
        with contextlib.suppress(OSError):
            for byte in b"\x16\x03\x01\x40\x00\x01" + bytes(1000):
                sock.sendall(bytes([byte]))
                threading.Event().wait(0.05)
                if not server._open:
                    break
        assert eventually(lambda: not server._open, 20)


def test_slow_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Headers that trickle in have a limit in all."""
    monkeypatch.setattr(serve, "HEAD_SECONDS", 0.5)
    with serving() as server, dial(server) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n")
        with contextlib.suppress(OSError):
            while server._open:
                sock.sendall(b"X: y\r\n")
                threading.Event().wait(0.05)
        assert eventually(lambda: not server._open, 20)


def test_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kept connection that stays silent is given up in the end."""
    monkeypatch.setattr(serve, "IDLE_SECONDS", 0.2)
    with serving() as server, dial(server) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        received = b"".join(iter(lambda: sock.recv(65_536), b""))

    assert received.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("secure", [False, True])
def test_many_silent(authority: Authority, monkeypatch: pytest.MonkeyPatch, *, secure: bool) -> None:  # fmt: skip
    """However many clients connect and say nothing, a scrape finds a place."""
    monkeypatch.setattr(serve, "GRACE_SECONDS", 0.0)
    verify = authority.client() if secure else None
    with (
        serving(secured(authority) if secure else None, limit=8) as server,
        contextlib.ExitStack() as clients,
    ):
        for _ in range(50):
            clients.enter_context(dial(server))
        assert [200] * 5 == [get(server, verify=verify).status_code for _ in range(5)]
        assert len(server._open) <= 8


def test_kept_scraper(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scraper that keeps its connection keeps it, however many silent clients come."""
    monkeypatch.setattr(serve, "GRACE_SECONDS", 0.0)
    with serving(limit=4) as server, dial(server) as scraper, contextlib.ExitStack() as clients:
        scraper.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert eventually(lambda: [True] == [one.answered for one in server._open])
        for _ in range(50):
            clients.enter_context(dial(server))
        scraper.sendall(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert 2 == b"".join(iter(lambda: scraper.recv(65_536), b"")).count(b"HTTP/1.1 200")


def test_full() -> None:
    """Where all places are busy with answers, the newcomer is told to come back."""
    release = threading.Event()

    def slow(request: Request) -> Answer:
        release.wait(30)
        return app(request)

    with serving(limit=2, app=slow) as server, contextlib.ExitStack() as clients:
        for _ in range(2):
            clients.enter_context(dial(server)).sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert eventually(lambda: [None, None] == [one.silent_since for one in server._open])
        assert 503 == get(server).status_code
        release.set()
        assert eventually(lambda: 200 == get(server).status_code)


def test_never_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that asks and never reads holds its own place only, and not for ever."""
    monkeypatch.setattr(serve, "WRITE_SECONDS", 0.3)
    with (
        serving(app=lambda _: Answer(200, b"x" * 50_000_000)) as server,
        dial(server) as sock,
    ):
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert eventually(lambda: bool(server._open))
        assert eventually(lambda: not server._open, 20)


def test_mtls(authority: Authority) -> None:
    """With mutual TLS only those with a certificate of the CA are let in."""
    other = Authority(authority.folder, "elsewhere")
    other.issue("forged")
    forged = authority.client()
    forged.load_cert_chain(authority.folder / "forged.crt", authority.folder / "forged.key")
    with serving(secured(authority, MTLS)) as server:
        assert 200 == get(server, verify=authority.client("prometheus")).status_code
        for client in (authority.client(), forged):
            with pytest.raises(httpx.TransportError):
                get(server, verify=client)


def test_allowed_names(authority: Authority) -> None:
    """Of the CA's certificates only those with an allowed name are let in."""
    names = "\n  client_allowed_sans: [prometheus.example]"
    with serving(secured(authority, MTLS + names)) as server:
        assert 200 == get(server, verify=authority.client("prometheus")).status_code
        with pytest.raises(httpx.TransportError):
            get(server, verify=authority.client("stranger"))


def test_reload(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed configuration is in force at the next connection, without a restart."""
    monkeypatch.setattr("exporter.web.LOOK_SECONDS", 0.0)
    path = secured(authority, name="changing.yml")
    with serving(path) as server:
        assert 200 == get(server, verify=authority.client()).status_code
        secured(authority, MTLS, name="changing.yml")
        with pytest.raises(httpx.TransportError):
            get(server, verify=authority.client())
        path.write_text("nonsense: 1\n")
        assert 200 == get(server, verify=authority.client("prometheus")).status_code
        path.write_text("{}\n")
        assert 200 == get(server).status_code


def test_basic_auth(tmp_path: Path) -> None:
    """With users, a page needs one of them; nobody else learns anything."""
    path = tmp_path / "web.yml"
    path.write_text(f"basic_auth_users:\n  alice: {HASH}\n")
    with serving(path) as server:
        refused = get(server)
        assert (401, "Basic") == (refused.status_code, refused.headers["www-authenticate"])
        assert 401 == get(server, "/nowhere").status_code
        assert 200 == get(server, "/healthz").status_code
        assert 401 == get(server, auth=("alice", "guess")).status_code
        assert 200 == get(server, auth=("alice", "open sesame")).status_code


def test_headers(tmp_path: Path) -> None:
    """Configured headers are on every answer."""
    path = tmp_path / "web.yml"
    path.write_text("http_server_config: {headers: {X-Content-Type-Options: nosniff}}\n")
    with serving(path) as server:
        assert "nosniff" == get(server).headers["x-content-type-options"]


def test_rate_limit(tmp_path: Path) -> None:
    """Beyond the configured rate the answer is 429."""
    path = tmp_path / "web.yml"
    path.write_text("rate_limit: {interval: 1h, burst: 2}\n")
    with serving(path) as server:
        assert [200, 200, 429] == [get(server).status_code for _ in range(3)]


def test_bucket() -> None:
    """A burst goes through, then one for each interval."""
    clock, rules, bucket = Clock(), Rules(interval=1.0, burst=2), Bucket()

    assert [True, True, False] == [bucket.take(rules, clock.now) for _ in range(3)]
    assert [True, False] == [bucket.take(rules, clock.now + 1.0) for _ in range(2)]
    assert [True, True, False] == [bucket.take(rules, clock.now + 60.0) for _ in range(3)]


def test_close() -> None:
    """Closing hangs up on everybody and frees the port."""
    with serving() as server:
        port = server.port
        waiting = dial(server)
        assert eventually(lambda: bool(server._open))
    with waiting:
        assert b"" == waiting.recv(1)
    listen("127.0.0.1", port).close()
