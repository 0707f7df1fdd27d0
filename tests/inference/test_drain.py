"""The end of a server: what runs is finished, who comes is sent on, and it does not take for ever."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path
from typing import Any

import httpx

from lightmeter import catalog
from lightmeter.catalog import ShedReason, WorkerState
from lightmeter.history import History
from lightmeter.journal import journals
from support.server import HALF, PLAIN, Server, asking, bearer, eventually


def lasting(seconds: float) -> dict[str, Any]:
    """Return a request that takes the stand-in so long: it sleeps at least 2 ms a step."""
    return {"num_inference_steps": round(seconds * 500), "size": "16x16"}


ALLOWED = ("--max-steps", "1000", "--batch", "1")


def busy(server: Server) -> bool:
    return server.value(catalog.WORKERS, state=WorkerState.BUSY) == 1


def end(server: Server) -> None:
    server.process.send_signal(signal.SIGTERM)
    assert eventually(lambda: server.client.get("/readyz").status_code == 503, seconds=10)


def test_sent_on(tmp_path: Path) -> None:
    """While what runs is finished, new connections are answered: 503, and when to try elsewhere."""
    with Server(tmp_path, *ALLOWED) as server:
        with asking(server.ready(), lasting(2)) as answers:
            assert eventually(lambda: busy(server))
            end(server)
            with httpx.Client(base_url=server.api, trust_env=False, verify=PLAIN) as stranger:
                healthy = stranger.get("/healthz").status_code
                refused = stranger.post("/v1/images/generations", json={"prompt": "x"})
            shed = server.value(catalog.SHED, reason=ShedReason.DRAINING)
        code = server.process.wait(10)

    assert ([200], 0) == ([answer.status_code for answer in answers], code)
    assert (200, 503) == (healthy, refused.status_code)
    assert ("draining", 1) == (refused.json()["error"]["type"], shed)
    assert int(refused.headers["retry-after"]) >= 1
    assert [] == journals(tmp_path / "history")
    assert {"ok": 1, "shed": 1} == History(tmp_path / "history").summary()["outcomes"]


def test_no_time_for_all(tmp_path: Path) -> None:
    """Those who could not be served within the time for draining are told at once, the last first."""
    with Server(tmp_path, *ALLOWED, "--drain", "3") as server:
        server.ready().post(lasting(1))  # so that the pace is known
        with asking(server, *[lasting(1)] * 6) as answers:
            server.process.send_signal(signal.SIGTERM)
        code = server.process.wait(20)

    statuses = [answer.status_code for answer in answers]
    assert sorted(statuses) == statuses
    assert 1 <= statuses.count(200) <= 3
    assert {200, 503} == set(statuses)
    assert 0 == code
    refused = sorted(answer.elapsed for answer in answers if answer.status_code == 503)
    assert refused[len(refused) // 2] < max(answer.elapsed for answer in answers)
    assert {"draining"} == {a.json()["error"]["type"] for a in answers if a.status_code == 503}


def test_bounded(tmp_path: Path) -> None:
    """What runs longer than the time for draining is answered 503, and the server ends."""
    with Server(tmp_path, "--max-steps", "1000", "--drain", "0.5") as server:
        with asking(server.ready(), lasting(2)) as answers:
            assert eventually(lambda: busy(server))
            server.process.send_signal(signal.SIGTERM)
        code = server.process.wait(10)

    assert ([503], 0) == ([answer.status_code for answer in answers], code)
    assert "retry-after" in answers[0].headers
    assert {"shed": 1} == History(tmp_path / "history").summary()["outcomes"]


def test_paused(tmp_path: Path) -> None:
    """A paused server ends too, and answers those who wait."""
    (tmp_path / "keys.toml").write_text('[ops]\nkey = "sk-admin-0123456789"\nadmin = true\n')
    with Server(tmp_path, "--drain", "0.5", "--keys", str(tmp_path / "keys.toml")) as server:
        server.key = "sk-admin-0123456789"
        paused = {"concurrency": 0}
        server.ready().client.put("/admin/limits", json=paused, headers=bearer(server.key))
        with asking(server, {}, {}) as answers:
            server.process.send_signal(signal.SIGTERM)
        code = server.process.wait(10)

    assert ([503, 503], 0) == ([answer.status_code for answer in answers], code)


def test_made_again(tmp_path: Path) -> None:
    """A picture that is made again when the server is told to end is still made, and delivered."""
    with Server(tmp_path, *ALLOWED, "--guard", "retry") as server:
        with asking(server.ready(), {"prompt": "black", "n": 3, **lasting(2)}) as answers:
            assert eventually(lambda: busy(server))
            server.process.send_signal(signal.SIGTERM)
        code = server.process.wait(20)

    assert ([200], 0) == ([answer.status_code for answer in answers], code)
    assert {"anomalous": 1} == History(tmp_path / "history").summary()["outcomes"]


def test_second_signal(tmp_path: Path) -> None:
    """A second SIGTERM does not wait; the history is sealed all the same."""
    with Server(tmp_path, "--max-steps", "1000", "--batch", "1", "--drain", "120") as server:
        everybody = asking(server.ready(), *[{"size": "16x16", "num_inference_steps": 1000}] * 20)
        with contextlib.suppress(httpx.TransportError), everybody:
            assert eventually(lambda: busy(server))
            end(server)
            server.process.send_signal(signal.SIGTERM)
            code = server.process.wait(30)  # all of them would take 40 s and more

    assert 0 == code
    assert [] == journals(tmp_path / "history")
    assert 20 == History(tmp_path / "history").summary()["rows"]


def test_stream(tmp_path: Path) -> None:
    """A stream that is not done in time ends with an error event, not in the middle."""
    with Server(tmp_path, "--max-steps", "1000", "--drain", "0.3") as server:
        body = {"prompt": "x", "stream": True, **lasting(2)}
        with server.ready().client.stream("POST", "/v1/images/generations", json=body) as stream:
            lines = stream.iter_lines()
            next(lines)
            server.process.send_signal(signal.SIGTERM)
            told = list(lines)

    assert "event: error" in told
    assert any('"status": 503' in line and '"retry_after": 1' in line for line in told)


def test_half_a_request(tmp_path: Path) -> None:
    """Clients that sent half a request, or nothing, do not hold up the end; the former are answered."""
    with Server(tmp_path) as server:
        server.ready()
        held = [server.connect() for _ in range(20)]
        for client in held[:10]:
            client.sendall(HALF)
        server.post()
        code = server.stop()
        answers = [client.recv(4096) for client in held]
        for client in held:
            client.close()
        log = "".join(server.log)

    assert 0 == code
    assert {b"HTTP/1.1 408 "} == {answer[:13] for answer in answers[:10]}
    assert {b""} == set(answers[10:])
    assert "ERROR" not in log
    assert {"ok": 1, "invalid": 10} == History(tmp_path / "history").summary()["outcomes"]
