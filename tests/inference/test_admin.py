"""Limits and workers of a running server, changed by an operator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from lightmeter import catalog
from lightmeter.catalog import ShedReason, WorkerState
from lightmeter.history import History
from support.server import Loading, Server, asking, bearer, eventually


KEY, ADMIN = "sk-shop-0123456789", "sk-admin-0123456789"
LONG = {"num_inference_steps": 1000, "size": "16x16"}
"""Two seconds for the stand-in."""


def started(folder: Path, *options: str) -> Server:
    keys = folder / "keys.toml"
    keys.write_text(f'[shop]\nkey = "{KEY}"\n[ops]\nkey = "{ADMIN}"\nadmin = true\n')
    server = Server(folder, "--keys", str(keys), "--max-steps", "1000", *options)
    server.key = KEY
    return server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with started(tmp_path_factory.mktemp("data")) as running:
        yield running.ready()


def admin(server: Server, method: str, path: str, body: Any = None) -> httpx.Response:
    return server.client.request(method, f"/admin/{path}", json=body, headers=bearer(ADMIN))


def workers(server: Server) -> dict[str, str]:
    """State of each worker by its id."""
    listed = admin(server, "GET", "workers").json()["workers"]
    return {worker["id"]: worker["state"] for worker in listed}


def count(server: Server, state: WorkerState) -> float:
    return server.value(catalog.WORKERS, state=state)


def test_limits(server: Server) -> None:
    """What is in force can be read, changed one by one, and read again."""
    before = admin(server, "GET", "limits").json()
    changed = admin(server, "PUT", "limits", {"batch": 3, "max_wait": 20})
    after = admin(server, "GET", "limits").json()
    nothing = admin(server, "PUT", "limits", {})

    assert {"concurrency": 64, "queue": 64, "batch": 8, "max_wait": 0.0, "wake": True} == before
    assert {**before, "batch": 3, "max_wait": 20.0} == after == changed.json() == nothing.json()


BAD: list[tuple[str, Any]] = [
    ("concurrency", -1),
    ("concurrency", 1.5),
    ("concurrency", True),
    ("queue", 0),
    ("queue", 10**9),
    ("queue", "many"),
    ("batch", 0),
    ("batch", 257),
    ("max_wait", -1),
    ("max_wait", 1e9),
    ("max_wait", "NaN"),
    ("worker", 3),
]


@pytest.mark.parametrize(("field", "value"), BAD)
def test_bad_limit(server: Server, field: str, value: Any) -> None:
    """A limit that cannot be is refused with its name, and nothing else in the body is done either."""
    before = admin(server, "GET", "limits").json()
    refused = admin(server, "PUT", "limits", {"batch": 5, field: value})

    assert 422 == refused.status_code
    assert field == refused.json()["error"]["param"]
    assert field in refused.json()["error"]["message"]
    assert before == admin(server, "GET", "limits").json()


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"max_wait": NaN}', b'{"batch": \xff}'])
def test_bad_body(server: Server, body: bytes) -> None:
    """A body that is none is refused on one line."""
    refused = server.client.put("/admin/limits", content=body, headers=bearer(ADMIN))

    assert 422 == refused.status_code
    assert "\n" not in refused.json()["error"]["message"]


def test_large_body(server: Server) -> None:
    """Nobody needs a megabyte to change a limit."""
    refused = server.client.put("/admin/limits", content=b" " * 10**6, headers=bearer(ADMIN))

    assert 413 == refused.status_code


def test_pause(server: Server) -> None:
    """A concurrency of 0 pauses: requests wait, for as long as they like; raised, they are made."""
    admin(server, "PUT", "limits", {"concurrency": 0})
    with asking(server, {}) as answers:
        assert eventually(lambda: server.value(catalog.QUEUE_DEPTH) == 1)
        ready = server.client.get("/readyz").status_code
        busy = count(server, WorkerState.BUSY)
        admin(server, "PUT", "limits", {"concurrency": 1})

    assert (200, 0) == (ready, busy)
    assert [200] == [answer.status_code for answer in answers]


def test_queue_at_once(server: Server) -> None:
    """A shorter queue holds for the next request; who waits already stays."""
    admin(server, "PUT", "limits", {"concurrency": 0, "queue": 3})
    with asking(server, *[{}] * 3) as answers:
        assert eventually(lambda: server.value(catalog.QUEUE_DEPTH) == 3)
        admin(server, "PUT", "limits", {"queue": 1})
        refused = server.post()
        admin(server, "PUT", "limits", {"concurrency": 64, "queue": 64})

    assert (429, "queue_full") == (refused.status_code, refused.json()["error"]["type"])
    assert [200] * 3 == [answer.status_code for answer in answers]


def test_batch_at_once(server: Server) -> None:
    """A smaller batch holds for the next call of the pipeline."""
    admin(server, "PUT", "limits", {"concurrency": 0, "batch": 2})
    with asking(server, *[{"size": "48x48"}] * 6) as answers:
        assert eventually(lambda: server.value(catalog.QUEUE_DEPTH) == 6)
        admin(server, "PUT", "limits", {"concurrency": 64})

    assert [2] * 6 == [answer.json()["usage"]["batch_size"] for answer in answers]


def test_listed(server: Server) -> None:
    """An operator sees each worker, its state and what it has done."""
    [worker] = admin(server, "GET", "workers").json()["workers"]

    assert {"id", "state", "state_seconds", "start_seconds_left", "pid", "index", "batches", "deaths", "device", "gpu_name", "gpu_uuid"} == set(worker)  # fmt: skip
    assert ("ready", 0, "none") == (worker["state"], worker["deaths"], worker["device"])
    assert [worker["pid"]] == server.worker_pids()


def test_unknown_worker(server: Server) -> None:
    """A worker that does not exist cannot be ended; the answer says which do."""
    refused = admin(server, "DELETE", "workers/nobody")

    assert 404 == refused.status_code
    assert "there are w" in refused.json()["error"]["message"]


def test_start_and_end(tmp_path: Path) -> None:
    """A worker that is started serves; one that is ended finishes its batch and is not replaced."""
    with started(tmp_path, "--batch", "1") as server:
        [first] = workers(server.ready())
        added = admin(server, "POST", "workers")
        assert eventually(lambda: count(server, WorkerState.READY) == 2)
        with asking(server, LONG, LONG) as answers:
            assert eventually(lambda: count(server, WorkerState.BUSY) == 2)
            ended = admin(server, "DELETE", f"workers/{first}")
            draining = workers(server)[first], count(server, WorkerState.DRAINING)
        assert eventually(lambda: list(workers(server)) == [added.json()["id"]])
        states = {state: count(server, state) for state in WorkerState}
        after = server.post()

    assert (202, 202) == (added.status_code, ended.status_code)
    assert "starting" == added.json()["state"]
    assert ("draining", 1) == draining
    assert [200, 200] == [answer.status_code for answer in answers]
    assert {WorkerState.READY: 1} == {state: number for state, number in states.items() if number}
    assert 200 == after.status_code


def test_last_worker(tmp_path: Path) -> None:
    """Where none is to be woken, requests are turned away, also those that waited; then it serves.

    What is asked for meanwhile counts as offered work: it is why a worker should be started.
    """
    with started(tmp_path, "--batch", "1", "--no-wake") as server:
        [only] = workers(server.ready())
        with asking(server, LONG, {}, {}) as answers:
            assert eventually(lambda: server.value(catalog.QUEUE_DEPTH) == 2)
            admin(server, "DELETE", f"workers/{only}")
        assert eventually(lambda: not workers(server))
        offered = server.value(catalog.OFFERED_WORK)
        refused, ready = server.post(), server.client.get("/readyz").status_code
        assert server.value(catalog.OFFERED_WORK) > offered
        admin(server, "POST", "workers")
        assert eventually(lambda: count(server, WorkerState.READY) == 1)
        after = server.post()
        shed = server.value(catalog.SHED, reason=ShedReason.NO_WORKER)

    assert [200, 503, 503] == [answer.status_code for answer in answers]
    assert (503, "no_worker", 503) == (refused.status_code, refused.json()["error"]["type"], ready)
    assert {True} == {int(answer.headers["retry-after"]) > 0 for answer in (*answers[1:], refused)}
    assert (200, 3) == (after.status_code, shed)
    assert {"ok": 2, "shed": 3} == History(tmp_path / "history").summary()["outcomes"]


def test_last_worker_gone_for_a_second_try(tmp_path: Path) -> None:
    """A picture to be made again when the last worker has left is refused at once, not at its deadline."""
    with started(tmp_path, "--guard", "retry", "--no-wake") as server:
        [only] = workers(server.ready())
        with asking(server, {"prompt": "black", **LONG}) as answers:
            assert eventually(lambda: count(server, WorkerState.BUSY) == 1)
            admin(server, "DELETE", f"workers/{only}")

    assert (503, "no_worker") == (answers[0].status_code, answers[0].json()["error"]["type"])
    assert int(answers[0].headers["retry-after"]) > 0


def test_ended_while_starting(tmp_path: Path) -> None:
    """A worker that still loads its model ends at once when it is told to."""
    keys = tmp_path / "keys.toml"
    keys.write_text(f'[ops]\nkey = "{ADMIN}"\nadmin = true\n')
    with Loading(tmp_path, "--keys", str(keys)) as server:
        [loading] = workers(server)
        admin(server, "DELETE", f"workers/{loading}")
        assert eventually(lambda: not workers(server), seconds=5)
        assert eventually(lambda: not server.worker_pids(), seconds=5)
