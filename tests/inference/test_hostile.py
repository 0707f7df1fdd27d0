"""Clients and circumstances that mean no good."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from lightmeter import catalog
from lightmeter.history import History
from support.server import GENERATIONS, HALF, Server, bearer, eventually


LONG: dict[str, Any] = {"num_inference_steps": 200, "size": "16x16"}
ALLOWED = ("--max-steps", "200")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("data")) as server:
        yield server.ready()


def test_stuck_worker(tmp_path: Path) -> None:
    """A worker that hangs is noticed after the deadline and replaced; the client is answered.

    Long before its silence would be noticed: here so is a second after the deadline, else ten.
    """
    soon = "from inference import making; making.STUCK_SECONDS = 1.0\nfrom lightmeter.cli import main; main()"
    options = (*ALLOWED, "--deadline", "0.5", "--silence", "60")
    with Server(tmp_path, *options, program=("-c", soon)) as server:
        [worker] = server.ready().worker_pids()
        psutil.Process(worker).suspend()
        refused = server.post(LONG)
        assert eventually(lambda: server.worker_pids() not in ([], [worker]), seconds=40)
        assert eventually(lambda: server.client.get("/readyz").status_code == 200)
        after = server.post()

    assert (504, 200) == (refused.status_code, after.status_code)
    assert "it was stuck: no batch in 1.5 s" in "".join(server.log)


def test_loads_for_ever(tmp_path: Path) -> None:
    """A model that is never loaded in time is tried a few times; then the server ends and says so."""
    soon = "from inference import keeper; keeper._FIRST_BACKOFF = 0.01\nfrom lightmeter.cli import main; main()"
    with Server(tmp_path, "--start-timeout", "0.01", program=("-c", soon)) as server:
        assert 3 == server.process.wait(60)

    log = "".join(server.log)
    assert 3 == log.count("died (it was not ready within 0.01 s)")
    assert "the worker died at every load" in log


def test_signal_to_all(tmp_path: Path) -> None:
    """SIGTERM to the whole group, as systemd sends it, lets the accepted work finish."""
    answers: list[int] = []
    with Server(tmp_path, *ALLOWED) as server:
        server.ready()
        asking = threading.Thread(target=lambda: answers.append(server.post(LONG).status_code))
        asking.start()
        assert eventually(lambda: server.value(catalog.IN_FLIGHT) == 1)
        for process in [*server.worker_pids(), server.process.pid]:
            os.kill(process, signal.SIGTERM)
        asking.join()

        assert 0 == server.process.wait(30)
    assert [200] == answers


def test_half_a_body(tmp_path: Path) -> None:
    """A client that goes in the middle of its request leaves a row, and no noise in the log."""
    with Server(tmp_path) as server:
        server.ready()
        for _ in range(5):
            with server.connect() as client:
                client.sendall(HALF)
                time.sleep(0.05)
        assert eventually(lambda: History(server.history).summary()["rows"] == 5)
        log = "".join(server.log)
        after = server.post()

    assert 200 == after.status_code
    assert "Traceback" not in log
    assert {"cancelled": 5, "ok": 1} == History(tmp_path / "history").summary()["outcomes"]


def test_too_large_row(tmp_path: Path) -> None:
    """A request refused for its size is a row and a count like every other."""
    with Server(tmp_path) as server:
        refused = server.ready().client.post("/v1/images/generations", content=b" " * 2_000_000)

    assert 413 == refused.status_code
    assert {"invalid": 1} == History(tmp_path / "history").summary()["outcomes"]


def test_many_connections(tmp_path: Path) -> None:
    """Hundreds of idle and half-open connections do not keep anybody else from being served."""
    with Server(tmp_path) as server:
        server.ready()
        idle = [server.connect() for _ in range(300)]
        for client in idle[:150]:
            client.sendall(HALF)
        answer = server.post()
        for client in idle:
            client.close()

    assert 200 == answer.status_code


def test_unknown_size_offers_nothing(tmp_path: Path) -> None:
    """Before the model is loaded its default size is unknown, and no work is made up for it."""
    with Server(tmp_path, model="tiny") as server:
        assert 503 == server.post().status_code
        offered = server.value(catalog.OFFERED_WORK)
    rows = History(tmp_path / "history").frame(["width"])

    assert 0 == offered
    assert rows["width"].isna().all()


def test_other_routes(tmp_path: Path) -> None:
    """An unknown route or method is answered in the same form as every other error."""
    with Server(tmp_path) as server:
        missing = server.ready().client.get("/v1/nothing")
        wrong = server.client.get("/v1/images/generations")
        head = server.client.head("/healthz")

    assert (404, 405, 200) == (missing.status_code, wrong.status_code, head.status_code)
    assert {"message", "type", "param", "code"} == set(missing.json()["error"])
    assert "405" == wrong.json()["error"]["code"]


def test_limits_below_defaults(tmp_path: Path) -> None:
    """Who names no size and no steps gets the usual ones, but no more than is allowed."""
    with Server(tmp_path, "--max-side", "40", "--max-steps", "3") as server:
        answer = server.ready().post()

    assert 200 == answer.status_code
    assert ("32x32", 3) == (answer.json()["size"], answer.json()["usage"]["forwards"])


def test_last_seed(tmp_path: Path) -> None:
    """The pictures of a request have seeds that the next request could name."""
    with Server(tmp_path) as server:
        fits = server.ready().post(seed=2**63 - 2, n=2)
        over = server.post(seed=2**63 - 1, n=2)

    assert [2**63 - 2, 2**63 - 1] == [entry["seed"] for entry in fits.json()["data"]]
    assert (422, "seed") == (over.status_code, over.json()["error"]["param"])


@pytest.mark.parametrize(
    "body",
    [
        {"prompt": "x", "a" * 900_000: 1},
        {"prompt": "x", "model": "a" * 900_000},
        {"prompt": "x", "size": "a" * 900_000},
        {"prompt": ["a" * 900_000]},
        {"prompt": "x", "lora": "a" * 900_000},
    ],
)
def test_no_echo(body: dict[str, Any], shared: Server) -> None:
    """What a client sends is not sent back at length: an error is a line."""
    answer = shared.client.post("/v1/images/generations", json=body)

    assert 422 == answer.status_code
    assert len(answer.content) < 500


def test_no_echo_of_a_number(shared: Server) -> None:
    """Nor is a number of thousands of digits."""
    body = b'{"prompt": "x", "n": ' + b"9" * 4300 + b"}"
    answer = shared.client.post("/v1/images/generations", content=body)

    assert (422, "n") == (answer.status_code, answer.json()["error"]["param"])
    assert len(answer.content) < 500


@pytest.mark.parametrize("site", ["cross-site", "same-site", "same-origin", "none"])
@pytest.mark.parametrize("path", ["/v1/images/generations", "/v1/jobs"])
def test_other_sites(site: str, path: str, shared: Server) -> None:
    """A page somewhere in the web cannot have a visitor's browser use the visitor's GPU."""
    headers = {"Sec-Fetch-Site": site, "Content-Type": "text/plain"}
    answer = shared.client.post(path, content=b'{"prompt": "x"}', headers=headers)

    assert site.startswith(("cross", "same-site")) == (answer.status_code == 403)
    assert answer.status_code in (200, 202, 403)


def test_other_sites_with_a_key(tmp_path: Path) -> None:
    """Where keys are asked for, who has one may ask from a page of its own."""
    (tmp_path / "keys.toml").write_text('[shop]\nkey = "sk-shop-0123456789"\n')
    with Server(tmp_path, "--keys", str(tmp_path / "keys.toml")) as server:
        headers = {"Sec-Fetch-Site": "cross-site", **bearer("sk-shop-0123456789")}
        answer = server.ready().client.post(GENERATIONS, json={"prompt": "x"}, headers=headers)

    assert 200 == answer.status_code
