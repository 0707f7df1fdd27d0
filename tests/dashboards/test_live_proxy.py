"""A Prometheus elsewhere behind the page: what passes, what does not, and what its silence is called."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from dashboards.live import proxy
from dashboards.live.proxy import Prometheus
from dashboards.live.serve import decisions_of
from lightmeter.errors import ServerError
from support.cli import clean_environment, lightmeter
from support.exporter import Served


Answer = Callable[[httpx.Request], httpx.Response]
FOUND = {"status": "success", "data": {"resultType": "vector", "result": []}}


class Passed:
    """A proxy in front of what answers, and the requests that came through."""

    def __init__(self, answer: Answer, url: str = "http://prometheus:9090/base/", bearer: str = "") -> None:  # fmt: skip
        self.seen: list[httpx.Request] = []

        def heard(request: httpx.Request) -> httpx.Response:
            self.seen.append(request)
            return answer(request)

        client = httpx.AsyncClient(transport=httpx.MockTransport(heard))
        self.client = TestClient(Prometheus(client, url, bearer))


def sent(said: Any, status: int = 200) -> httpx.Response:
    """Answer as over a wire: with what a Prometheus would not send as well."""
    headers = {"content-type": "application/json", "set-cookie": "a=b", "server": "x"}
    return httpx.Response(status, headers=headers, stream=httpx.ByteStream(json.dumps(said).encode()))  # fmt: skip


def found(_: httpx.Request) -> httpx.Response:
    return sent(FOUND)


def test_questions_pass() -> None:
    """A question arrives as it was asked, with our token and without the reader's; its answer comes back bare."""
    passed = Passed(found, bearer="sesame")
    got = passed.client.get("/api/v1/label/job/values?match[]=up&match[]=a%2Bb", headers={"authorization": "Bearer mine", "cookie": "c=d"})  # fmt: skip
    posted = passed.client.post("/api/v1/query_range", data={"query": "up", "step": "15"})
    first, second = passed.seen

    assert FOUND == got.json() == posted.json()
    assert "http://prometheus:9090/base/api/v1/label/job/values?match[]=up&match[]=a%2Bb" == str(first.url)  # fmt: skip
    assert "Bearer sesame" == first.headers["authorization"]
    assert "cookie" not in first.headers
    assert ("POST", b"query=up&step=15") == (second.method, second.content)
    assert not {"set-cookie", "server"} & set(got.headers)


@pytest.mark.parametrize(
    "path",
    ["/api/v1/admin/tsdb/delete_series", "/api/v1/write", "/api/v1/query/../admin/tsdb/snapshot", "/-/reload", "/-/quit", "/api/v1/label/a%2Fb/values", "/api/v2/query"],
)  # fmt: skip
def test_nothing_else_passes(path: str) -> None:
    """What writes, deletes or ends something is not passed on."""
    passed = Passed(found)

    assert 404 == passed.client.post(path, data={"a": "b"}).status_code
    assert [] == passed.seen


def test_only_questions() -> None:
    """Neither is another method, nor a question that is too long."""
    passed = Passed(found)

    assert 405 == passed.client.delete("/api/v1/series").status_code
    assert 413 == passed.client.post("/api/v1/query", content=b"x" * (proxy.QUESTION_BYTES + 1)).status_code  # fmt: skip
    assert [] == passed.seen


def refused(_: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused")


def late(_: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("late")


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        (refused, 502, "Prometheus at http://***@prometheus:9090 cannot be asked: refused"),
        (late, 504, "ask for less time"),
        (lambda _: httpx.Response(401), 502, "give --bearer-file"),
        (lambda _: httpx.Response(302, headers={"location": "https://login"}), 502, "sends us on to https://login"),
    ],
)  # fmt: skip
def test_silence(answer: Answer, status: int, said: str) -> None:
    """A Prometheus that does not answer is told in its own form, without the password in its address."""
    passed = Passed(answer, "http://u:p@prometheus:9090")
    told = passed.client.get("/api/v1/query?query=up")

    assert (status, "error") == (told.status_code, told.json()["status"])
    assert said in told.json()["error"]
    assert "u:p" not in told.text


def test_errors_of_its_own() -> None:
    """What Prometheus says of a wrong question is passed on as it is."""
    wrong = {"status": "error", "errorType": "bad_data", "error": "parse error"}
    passed = Passed(lambda _: sent(wrong, 400))
    told = passed.client.get("/api/v1/query?query=(")

    assert (400, wrong) == (told.status_code, told.json())


async def _endless() -> AsyncIterator[bytes]:
    while True:
        yield b"1 " * 300


async def _broken() -> AsyncIterator[bytes]:
    yield b"[1,"
    raise httpx.ReadError("gone")


@pytest.mark.parametrize("stream", [_endless, _broken])
def test_half_answer(monkeypatch: pytest.MonkeyPatch, stream: Callable[[], AsyncIterator[bytes]]) -> None:  # fmt: skip
    """An answer without end, or one that breaks off, ends: it fills nothing here and is no JSON there."""
    monkeypatch.setattr(proxy, "ANSWER_BYTES", 10_000)
    passed = Passed(lambda _: httpx.Response(200, content=stream()))
    told = passed.client.get("/api/v1/query?query=up")

    assert 0 < len(told.content) <= proxy.ANSWER_BYTES
    with pytest.raises(ValueError, match=r"Expecting|Extra"):
        told.json()


def test_decisions_of_a_scaler() -> None:
    """A scaler's decisions are read; one that is gone, or is none, is said in a line."""

    def ask(answer: Answer) -> Any:
        client = httpx.AsyncClient(transport=httpx.MockTransport(answer))
        return asyncio.run(decisions_of(client, "http://scaler:9402/")())

    assert [{"id": "x"}] == ask(lambda request: httpx.Response(200, json={"decisions": [{"id": "x"}]}) if request.url.path == "/v1/decisions" else httpx.Response(404))  # fmt: skip
    for answer in (refused, lambda _: httpx.Response(500), lambda _: httpx.Response(200, text="<html>"), lambda _: httpx.Response(200, json=[])):  # fmt: skip
        with pytest.raises(ServerError, match="the scaler at http://scaler:9402/v1/decisions cannot be asked"):  # fmt: skip
            ask(answer)
    with pytest.raises(ServerError, match="is newer than this page: decision 'x' is of schema '2'"):
        ask(lambda _: httpx.Response(200, json={"decisions": [{"id": "x", "schema": 2}]}))


def test_command(tmp_path: Path) -> None:
    """The command says where the page is, serves it over a Prometheus elsewhere, and ends cleanly."""
    (tmp_path / "token").write_text("sesame\n")
    with Served(json.dumps(FOUND)) as there:
        command = ["dashboards", "serve", "--port", "0", "--prometheus", there.url.removesuffix("/metrics"), "--bearer-file", "token"]  # fmt: skip
        with subprocess.Popen([sys.executable, "-P", "-m", "lightmeter.cli", *command], cwd=tmp_path, stdout=subprocess.PIPE, text=True, env=clean_environment()) as process:  # fmt: skip
            assert process.stdout
            address = process.stdout.readline().split()[2]
            page = httpx.get(address, trust_env=False)
            answer = httpx.get(f"{address}api/v1/query?query=up", trust_env=False)
            process.send_signal(signal.SIGTERM)

    assert "<title>lightmeter</title>" in page.text
    assert FOUND == answer.json()
    assert 0 == process.returncode


def test_away() -> None:
    """A Prometheus that is away is told of once, with its address, why and what to do; so is its return."""
    told: list[str] = []
    here = [False, False, True, True]

    def answer(request: httpx.Request) -> httpx.Response:
        return found(request) if here.pop(0) else refused(request)

    client = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    asked = Prometheus(client, "http://u:secret@prometheus:9090", tell=told.append)
    for _ in range(4):
        asyncio.run(asked.look())
    away, back = told

    assert away.startswith("Prometheus at http://***@prometheus:9090 cannot be asked: ")
    assert "start it, or give another address with --prometheus. The page goes on" in away
    assert "Prometheus at http://***@prometheus:9090 answers again" == back


def test_command_away(tmp_path: Path) -> None:
    """The command says at its start that its Prometheus is away, and serves the page all the same."""
    command = ["dashboards", "serve", "--port", "0", "--prometheus", "http://127.0.0.1:1"]
    with subprocess.Popen([sys.executable, "-P", "-m", "lightmeter.cli", *command], cwd=tmp_path, stdout=subprocess.PIPE, text=True, env=clean_environment()) as process:  # fmt: skip
        assert process.stdout
        address = process.stdout.readline().split()[2]
        said = process.stdout.readline()
        page = httpx.get(address, trust_env=False)
        process.send_signal(signal.SIGTERM)

    assert said.startswith("Prometheus at http://127.0.0.1:1 cannot be asked: ")
    assert "<title>lightmeter</title>" in page.text
    assert 0 == process.returncode


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "there is no Prometheus to show; give --prometheus URL"),
        (("--prometheus", "prometheus:9090"), "prometheus"),
        (("--prometheus", "http://x", "--bearer-file", "nowhere"), "token file 'nowhere' does not exist"),
        (("--prometheus", "http://x", "--trace-url", "http://x"), "trace_url"),
    ],
)  # fmt: skip
def test_refused(tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    """A mistake is one line and exit code 2."""
    assert said in lightmeter("dashboards", "serve", *options, cwd=tmp_path).refusal()
