"""More requests than the server can take."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from lightmeter import catalog
from lightmeter.catalog import ShedReason
from lightmeter.history import History
from support.server import Loading, Server, fetch


SLOW = {"num_inference_steps": 50, "size": "16x16"}


def test_queue_full(tmp_path: Path) -> None:
    """One request more than the queue holds is told when to come again, and nobody else suffers."""
    with Server(tmp_path, "--queue", "2", "--batch", "1") as server:
        server.ready()
        answers = server.together([SLOW] * 8)
        shed = server.value(catalog.SHED, reason=ShedReason.QUEUE_FULL)
        left = server.value(catalog.QUEUE_DEPTH), server.value(catalog.IN_FLIGHT)

    statuses = Counter(answer.status_code for answer in answers)
    assert {200, 429} == set(statuses)
    assert statuses[200] >= 3
    assert shed == statuses[429]
    assert (0, 0) == left
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert int(refused.headers["retry-after"]) >= 1
    assert "queue_full" == refused.json()["error"]["type"]


def test_deadline(tmp_path: Path) -> None:
    """A request that is not done at the deadline is answered 504, and the others are made."""
    with Server(tmp_path, "--deadline", "0.3", "--batch", "1") as server:
        server.ready()
        answers = server.together([SLOW] * 8)
        made = server.value(catalog.IMAGES)

    statuses = Counter(answer.status_code for answer in answers)
    assert {200, 504} == set(statuses)
    assert made == statuses[200]
    assert {"ok": statuses[200], "timeout": statuses[504]} == History(
        tmp_path / "history"
    ).summary()["outcomes"]


def test_starting(tmp_path: Path) -> None:
    """While the model loads, liveness is well, readiness is not, and requests are sent away."""
    with Loading(tmp_path) as server:
        assert 200 == server.client.get("/healthz").status_code
        assert 503 == server.client.get("/readyz").status_code
        answer = server.post()
        assert 422 == server.post(n=0).status_code
        server.let_go().ready()
        ready = server.client.get("/readyz").status_code

    assert 503 == answer.status_code
    assert int(answer.headers["retry-after"]) >= 1
    assert "starting" == answer.json()["error"]["type"]
    assert 200 == ready


def test_priority(tmp_path: Path) -> None:
    """When both wait, an interactive request is answered before a batch one that came earlier."""
    with Server(tmp_path, "--batch", "1") as server:
        server.ready()
        bodies = [{**SLOW, "priority": "batch"}] * 5 + [{**SLOW, "priority": "interactive"}] * 5
        answers = server.together(bodies)

    waited = [answer.json()["timings"]["queue"] for answer in answers]
    assert sum(waited[5:]) < sum(waited[:5])


def test_scrape_alone(tmp_path: Path) -> None:
    """Metrics are served from a port of their own, not by the API."""
    with Server(tmp_path) as server:
        assert 404 == server.client.get("/metrics").status_code
        assert 200 == fetch(server.metrics_url).status_code
