"""Jobs over the API: asked for, looked at, cancelled, and gone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from lightmeter import catalog
from lightmeter.catalog import GpuTime, Outcome, WorkerState
from lightmeter.history import History
from support.collector import Collector
from support.server import Server, eventually, fetch, file


LONG: dict[str, Any] = {"num_inference_steps": 1000, "size": "16x16"}
"""At least two seconds for the stand-in, which sleeps 2 ms a step."""
ALLOWED = ("--max-steps", "1000", "--batch", "1", "--replica", "r1")
DONE = ("succeeded", "failed", "cancelled")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("data"), *ALLOWED) as running:
        yield running.ready()


def submit(server: Server, **fields: Any) -> httpx.Response:
    return server.client.post("/v1/jobs", json={"prompt": "a lighthouse", **fields})


def look(server: Server, name: str) -> dict[str, Any]:
    answer = server.client.get(f"/v1/jobs/{name}")
    assert 200 == answer.status_code, answer.text
    told: dict[str, Any] = answer.json()
    return told


def finished(server: Server, name: str) -> dict[str, Any]:
    assert eventually(lambda: look(server, name)["status"] in DONE)
    return look(server, name)


def test_made(server: Server) -> None:
    """A job is accepted at once, and ends with the answer that its request would have had."""
    accepted = submit(server, seed=7, n=2)
    told = accepted.json()

    assert (202, "job") == (accepted.status_code, told["object"])
    assert re.fullmatch(r"job_r1_[0-9a-f]{24}", told["id"])
    assert f"/v1/jobs/{told['id']}" == accepted.headers["location"]
    done = finished(server, told["id"])
    direct = server.post(seed=7, n=2)
    assert "succeeded" == done["status"]
    assert direct.json().keys() == done["result"].keys()
    assert [file(direct, 0), file(direct, 1)] == [
        file(httpx.Response(200, json=done["result"]), index) for index in (0, 1)
    ]


def test_progress(server: Server) -> None:
    """A job that is made tells its steps; one that waits tells for how long, and when to look."""
    running = submit(server, **LONG).json()["id"]
    assert eventually(lambda: look(server, running)["status"] == "running")
    waiting = submit(server, **LONG)

    progress = look(server, running)["progress"]
    assert 1000 == progress["steps"]
    assert 0 < progress["step"] < 1000
    assert "queued" == waiting.json()["status"]
    assert 0 <= waiting.json()["predicted_wait_seconds"] < 60
    assert int(waiting.headers["retry-after"]) >= 1
    for name in (running, waiting.json()["id"]):
        server.client.delete(f"/v1/jobs/{name}")


def test_same_queue(tmp_path: Path) -> None:
    """Jobs wait in the one queue, and are refused like every request when it is full."""
    with Server(tmp_path, *ALLOWED, "--queue", "1") as server:
        running = submit(server.ready(), **LONG).json()["id"]
        assert eventually(lambda: look(server, running)["status"] == "running")
        assert 202 == submit(server, **LONG).status_code
        assert 1 == server.value(catalog.QUEUE_DEPTH)
        refused, other = submit(server), server.post()

    assert (429, 429) == (refused.status_code, other.status_code)
    assert int(refused.headers["retry-after"]) >= 1


@pytest.mark.parametrize(("field", "value"), [("n", 0), ("size", "1x1"), ("colour", "red")])
def test_invalid(server: Server, field: str, value: Any) -> None:
    """A request that is none is refused when it is asked, not as a job that fails."""
    answer = submit(server, **{field: value})

    assert (422, field) == (answer.status_code, answer.json()["error"]["param"])


def test_starting(tmp_path: Path) -> None:
    """While no model is loaded, jobs are refused with 503, like every request."""
    with Server(tmp_path, model="tiny") as server:
        answer = submit(server, size="64x64")

    assert 503 == answer.status_code
    assert "retry-after" in answer.headers


def test_large_body(server: Server) -> None:
    """A body beyond the limit is refused, and is a row of the history."""
    answer = server.client.post("/v1/jobs", content=b" " * 1_100_000)

    assert 413 == answer.status_code


def test_fails(tmp_path: Path) -> None:
    """A job that fails later says so with the error and the status of its request."""
    with Server(tmp_path, "--deadline", "0.5", *ALLOWED) as server:
        told = finished(server.ready(), submit(server, **LONG).json()["id"])

    assert ("failed", 504) == (told["status"], told["status_code"])
    assert {"message", "type", "param", "code"} == set(told["error"])
    assert "within the deadline" in told["error"]["message"]
    assert told["retry_after"] >= 1
    assert "result" not in told


def test_does_not_fit(tmp_path: Path) -> None:
    """A job whose picture can never fit is refused at once."""
    with Server(tmp_path, "--max-side", "16384") as server:
        answer = submit(server.ready(), size="8192x8192")

    assert 507 == answer.status_code


def test_cancel_running(tmp_path: Path) -> None:
    """A cancelled job stops within a step; what it had taken is counted as abandoned."""
    with Server(tmp_path, *ALLOWED) as server:
        name = submit(server.ready(), **LONG).json()["id"]
        assert eventually(lambda: look(server, name)["status"] == "running")
        told = server.client.delete(f"/v1/jobs/{name}").json()
        assert eventually(lambda: server.value(catalog.WORKERS, state=WorkerState.READY) == 1)
        abandoned = server.value(catalog.GPU_SECONDS, kind=GpuTime.ABANDONED)
        again = look(server, name)["status"]

    assert ("cancelled", "cancelled") == (told["status"], again)
    assert 0 < abandoned < 2.0
    assert {"cancelled": 1} == History(tmp_path / "history").summary()["outcomes"]


def test_cancel_waiting(tmp_path: Path) -> None:
    """A job that is cancelled while it waits leaves the queue and is never made."""
    with Server(tmp_path, *ALLOWED) as server:
        first = submit(server.ready(), **LONG).json()["id"]
        assert eventually(lambda: look(server, first)["status"] == "running")
        name = submit(server, **LONG).json()["id"]
        server.client.delete(f"/v1/jobs/{name}")
        waiting = server.value(catalog.QUEUE_DEPTH)
        finished(server, first)
        made = server.value(catalog.REQUESTS, outcome=Outcome.OK)

    assert (0, 1) == (waiting, made)
    assert {"cancelled": 1, "ok": 1} == History(tmp_path / "history").summary()["outcomes"]


def test_forget(server: Server) -> None:
    """To delete a finished job is to forget it."""
    name = submit(server).json()["id"]
    finished(server, name)

    assert 200 == server.client.delete(f"/v1/jobs/{name}").status_code
    assert 404 == server.client.get(f"/v1/jobs/{name}").status_code
    assert 404 == server.client.delete(f"/v1/jobs/{name}").status_code


def test_restart(tmp_path: Path) -> None:
    """A job is lost with its process, and the next one says so."""
    with Server(tmp_path, *ALLOWED) as first:
        name = submit(first.ready()).json()["id"]
        finished(first, name)
        first.kill()
    with Server(tmp_path, *ALLOWED) as second:
        answer = second.client.get(f"/v1/jobs/{name}")

    assert 404 == answer.status_code
    assert "lost in a restart of this replica" in answer.json()["error"]["message"]


def test_other_replica(server: Server) -> None:
    """A job of another replica is not here, and the answer names whose it is."""
    answer = server.client.get("/v1/jobs/job_other_0123456789abcdef01234567")

    assert 404 == answer.status_code
    assert "belongs to replica 'other'" in answer.json()["error"]["message"]


def test_whose(tmp_path: Path) -> None:
    """With keys, a job is seen and cancelled by the tenant that asked for it, and by nobody else."""
    keys = tmp_path / "keys.toml"
    keys.write_text('[a]\nkey = "the-key-of-tenant-a"\n[b]\nkey = "the-key-of-tenant-b"\n')
    with Server(tmp_path, *ALLOWED, "--keys", str(keys)) as server:
        server.ready()
        assert 401 == submit(server).status_code
        owner, other = ({"Authorization": f"Bearer the-key-of-tenant-{who}"} for who in "ab")
        path = "/v1/jobs/" + server.client.post("/v1/jobs", json={"prompt": "x"}, headers=owner).json()["id"]  # fmt: skip
        codes = [server.client.get(path, headers=who).status_code for who in (owner, other, {})]
        stolen = server.client.delete(path, headers=other).status_code

    assert [200, 404, 401] == codes
    assert 404 == stolen


def test_large_results(tmp_path: Path) -> None:
    """Results that memory has no room for lie in the store, and come from there."""
    with Server(tmp_path, *ALLOWED, "--jobs-bytes", "0") as server:
        name = submit(server.ready()).json()["id"]
        done = finished(server, name)
        lying = [path.name for path in (tmp_path / "images").iterdir()]
        not_a_picture = server.client.get(f"/v1/images/{name}.json")

    assert "succeeded" == done["status"]
    assert done["result"]["data"]
    assert [f"{name}.json"] == lying
    assert 404 == not_a_picture.status_code


def test_by_url(server: Server) -> None:
    """A job can end in an address instead of the picture."""
    done = finished(server, submit(server, response_format="url").json()["id"])

    assert 200 == fetch(done["result"]["data"][0]["url"]).status_code


def test_row(tmp_path: Path) -> None:
    """A job is a row of the history and a count like every request, and can be rated."""
    with Server(tmp_path, *ALLOWED) as server:
        done = finished(server.ready(), submit(server).json()["id"])
        rated = server.client.post("/v1/feedback", json={"request_id": done["result"]["id"], "score": 5})  # fmt: skip
        counted = server.value(catalog.REQUEST_DURATION, "_count")

    assert (200, 1) == (rated.status_code, counted)
    rows = History(tmp_path / "history").frame(["outcome", "feedback"])
    assert [("ok", 5)] == list(zip(rows["outcome"], rows["feedback"], strict=True))


@pytest.mark.parametrize(("fields", "status"), [({}, 0), (LONG, 2)])
def test_traced(tmp_path: Path, fields: dict[str, Any], status: int) -> None:
    """The work of a job, and how it ended, is in the trace of the request that asked for it."""
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    told = {"traceparent": f"00-{trace}-{parent}-01"}
    with Collector() as collector:
        with Server(tmp_path, "--deadline", "0.5", *ALLOWED, **collector.environment()) as server:
            asked = {"prompt": "x", **fields}
            answer = server.ready().client.post("/v1/jobs", json=asked, headers=told)
            finished(server, answer.json()["id"])
        (span,) = [span for span in collector.spans if span.parent == parent]

    assert (trace, status) == (span.trace_id, span.status)
    assert "/v1/jobs" in span.attributes.values()


def test_end(tmp_path: Path) -> None:
    """A server that ends finishes the jobs that it can, and leaves none behind unrecorded."""
    with Server(tmp_path, *ALLOWED) as server:
        server.ready()
        for _ in range(2):
            submit(server, **LONG)
        code = server.stop()

    assert 0 == code
    outcomes = History(tmp_path / "history").summary()["outcomes"]
    assert 2 == sum(outcomes.values())
    assert {"ok", "shed", "cancelled"} >= set(outcomes)
