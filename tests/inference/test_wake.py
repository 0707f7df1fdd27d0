"""A server without workers: the first request starts one, and waits for it within bounds."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from inference.starts import Starts
from lightmeter import catalog
from lightmeter.catalog import Priority, ShedReason, WorkerState
from lightmeter.history import History
from support.server import Loading, Server, asking, bearer, eventually


ADMIN = "sk-admin-0123456789"
LONG = {"num_inference_steps": 1000, "size": "16x16"}


S = TypeVar("S", bound=Server)


def opened(folder: Path, *options: str, kind: type[S]) -> S:
    """Start a server whose admin routes have a key, and which asks nobody else for one."""
    secret = folder / "secret"
    secret.write_text(ADMIN + "\n")
    return kind(folder, "--admin-key-file", str(secret), *options)


def admin(server: Server, method: str, path: str, **options: Any) -> Any:
    answer = server.client.request(method, f"/admin/{path}", headers=bearer(ADMIN), **options)
    assert answer.is_success, answer.text
    return answer.json()


def workers(server: Server) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = admin(server, "GET", "workers")["workers"]
    return found


def empty(server: Server) -> None:
    """Send every worker away, as a scaler does at night."""
    for worker in workers(server):
        admin(server, "DELETE", f"workers/{worker['id']}")
    assert eventually(lambda: not workers(server))


def reason(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["type"]


def test_begins_with_none(tmp_path: Path) -> None:
    """A server with no worker is ready for traffic, shows its series, and serves whoever asks first.

    Not even the size need be named, though only a worker knows what is meant then.
    """
    with opened(tmp_path, "--workers", "0", kind=Server) as server:
        server.ready()
        at_zero = server.client.get("/readyz")
        depth = server.value(catalog.QUEUE_DEPTH), server.value(catalog.WORKERS)
        none = server.worker_pids()
        answers = server.together([{}, {"size": "16x16"}, {}])
        one = workers(server)

    assert (200, True, True) == (at_zero.status_code, at_zero.json()["ready"], at_zero.json()["wakes"])  # fmt: skip
    assert ((0, 0), []) == (depth, none)
    assert [200] * 3 == [answer.status_code for answer in answers]
    assert 1 == len(one)


def test_sleeps_and_wakes(tmp_path: Path) -> None:
    """Emptied through the admin routes, it starts one worker for all who come, and loses nobody."""
    with opened(tmp_path, kind=Server) as server:
        server.ready()
        empty(server)
        answers = server.together([{"size": "16x16"}] * 5)
        one = workers(server)
        waited = [answer.json()["timings"]["queue"] for answer in answers]

    assert [200] * 5 == [answer.status_code for answer in answers]
    assert 1 == len(one)
    assert min(waited) > 0.05  # what the start took is told as waiting
    assert {"ok": 5} == History(tmp_path / "history").summary()["outcomes"]


def test_waiting_is_seen(tmp_path: Path) -> None:
    """While it wakes, a scaler sees who waits and the one that starts, and orders no other."""
    with opened(tmp_path, "--workers", "0", kind=Loading) as server:
        server.ready()
        with asking(server, {"size": "16x16"}, {"size": "16x16", "priority": "batch"}) as answers:
            states = [worker["state"] for worker in workers(server)]
            listed = admin(server, "GET", "workers")["in_flight"]
            depth = [server.value(catalog.QUEUE_DEPTH, priority=one) for one in Priority]
            ready = server.client.get("/readyz")
            server.let_go()

    assert ([WorkerState.STARTING], 2, [1, 1]) == (states, listed, depth)
    assert (200, True) == (ready.status_code, ready.json()["wakes"])
    assert [200, 200] == [answer.status_code for answer in answers]


def test_told_how_long(tmp_path: Path) -> None:
    """A start that takes longer than a request may wait is told with the time that is left of it.

    The worker is started all the same, so that who comes back is served.
    """
    with opened(tmp_path, "--workers", "0", "--wake-wait", "0.5", kind=Loading) as server:
        server.ready()
        refused = [server.post({"size": "16x16"}), server.post()]
        server.let_go()
        assert eventually(lambda: server.post().status_code == 200)
        shed = server.value(catalog.SHED, reason=ShedReason.STARTING)

    assert [(503, "starting")] * 2 == [reason(answer) for answer in refused]
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
    assert shed >= 2


def test_known_too_long(tmp_path: Path) -> None:
    """Where starts are known to take longer than that, nobody is kept waiting in vain."""
    with opened(tmp_path, "--wake-wait", "0.001", kind=Server) as server:
        server.ready()
        empty(server)
        refused = server.post({"size": "16x16"})
        assert eventually(lambda: server.post().status_code == 200)

    assert (503, "starting") == reason(refused)
    assert 1 <= int(refused.headers["retry-after"]) <= 60


@pytest.mark.parametrize("how", ["setting", "limits"])
def test_switched_off(tmp_path: Path, how: str) -> None:
    """Who empties a pool to have its GPUs for something else can say that it stays empty."""
    with opened(tmp_path, *(["--no-wake"] if how == "setting" else []), kind=Server) as server:
        server.ready()
        if how == "limits":
            assert not admin(server, "PUT", "limits", json={"wake": False})["wake"]
        empty(server)
        refused, ready = server.post(), server.client.get("/readyz")
        left = server.worker_pids()

    assert (503, "no_worker") == reason(refused)
    assert (503, False) == (ready.status_code, ready.json()["wakes"])
    assert not left


def test_emptied_under_load(tmp_path: Path) -> None:
    """The last worker is sent away while others wait: it finishes, another is started for them."""
    with opened(tmp_path, "--batch", "1", "--max-steps", "1000", kind=Server) as server:
        server.ready()
        [only] = workers(server)
        with asking(server, LONG, {}, {}) as answers:
            assert eventually(lambda: server.value(catalog.QUEUE_DEPTH) == 2)
            admin(server, "DELETE", f"workers/{only['id']}")
            came_late = server.post()
        [other] = workers(server)

    assert [200] * 4 == [answer.status_code for answer in (*answers, came_late)]
    assert other["id"] != only["id"]


def test_sent_away_while_waking(tmp_path: Path) -> None:
    """A worker that is sent away while it starts for somebody is replaced, and the request served."""
    with opened(tmp_path, "--workers", "0", kind=Loading) as server:
        server.ready()
        with asking(server, {"size": "16x16"}) as answers:
            [first] = workers(server)
            admin(server, "DELETE", f"workers/{first['id']}")
            assert eventually(lambda: [w["id"] for w in workers(server)] not in ([first["id"]], []))
            server.let_go()

    assert [200] == [answer.status_code for answer in answers]


def test_full_while_waking(tmp_path: Path) -> None:
    """The line in front of a worker that starts is bounded: one more is told when to come back."""
    with opened(tmp_path, "--workers", "0", "--queue", "2", kind=Loading) as server:
        server.ready()
        small = {"size": "16x16"}
        with asking(server, small, small, {}, {}) as answers:
            full = [server.post(small), server.post()]
            server.let_go()

    assert [(429, "queue_full")] * 2 == [reason(answer) for answer in full]
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in full)
    assert [200] * 2 == [answer.status_code for answer in answers[:2]]


def test_ends_while_waking(tmp_path: Path) -> None:
    """Told to end while somebody waits for a worker that starts, it says so and ends in time."""
    with opened(tmp_path, "--workers", "0", "--drain", "0.5", kind=Loading) as server:
        server.ready()
        with asking(server, {"size": "16x16"}) as answers:
            code = server.stop()

    assert 0 == code
    assert [(503, "draining")] == [reason(answer) for answer in answers]


def test_who_dies_is_no_sleeper(tmp_path: Path) -> None:
    """A pool whose last worker died is not asleep: the server is not ready until it is replaced."""
    with opened(tmp_path, kind=Server) as server:
        server.ready()
        empty(server)
        assert 200 == server.post().status_code
        [worker] = workers(server)
        os.kill(worker["pid"], signal.SIGKILL)
        assert eventually(lambda: server.client.get("/readyz").status_code == 503)
        wakes = server.client.get("/readyz").json()["wakes"]
        assert eventually(lambda: server.post().status_code == 200)

    assert not wakes


def test_start_left() -> None:
    """What is left of a start is the usual less what has passed, and never nothing."""
    known = Starts()
    unknown = known.left(3.0)
    for seconds in (10.0, 60.0, 20.0):
        known.saw(seconds)

    assert unknown is None
    assert pytest.approx((15.0, 1.95, 6.0)) == (known.left(5.0), known.left(19.5), known.left(60.0))


def test_dies_while_waking(tmp_path: Path) -> None:
    """A worker that dies while it starts for somebody is started again, and the request is served.

    Streams and jobs wake a server as well.
    """
    with opened(tmp_path, "--workers", "0", kind=Loading) as server:
        server.ready()
        job = server.client.post("/v1/jobs", json={"prompt": "a fox", "size": "16x16"})
        with asking(server, {"size": "16x16", "stream": True}) as answers:
            assert eventually(server.worker_pids)
            os.kill(server.worker_pids()[0], signal.SIGKILL)
            assert eventually(lambda: workers(server)[0]["deaths"] == 1)
            server.let_go()
        where = f"/v1/jobs/{job.json()['id']}"
        done = eventually(lambda: server.client.get(where).json()["status"] == "succeeded")

    assert 202 == job.status_code
    assert done
    assert "image_generation.completed" in answers[0].text
