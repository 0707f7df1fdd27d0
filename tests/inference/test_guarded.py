"""Guards at work in a server: pictures with faults are marked, made again, or refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from inference.shots import OTHER_SEED
from lightmeter import catalog
from lightmeter.catalog import Anomaly, GpuTime, Outcome, Stage
from lightmeter.history import History
from support.cli import lightmeter
from support.server import Server, eventually


LARGE: dict[str, Any] = {"size": "256x256", "num_inference_steps": 1}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give a server that marks faults to all tests that need no other."""
    with Server(tmp_path_factory.mktemp("data")) as running:
        yield running.ready()


@pytest.mark.parametrize("kind", [kind for kind in Anomaly if kind is not Anomaly.DUPLICATE])
def test_flagged(kind: Anomaly, server: Server) -> None:
    """A faulty picture is delivered by default, marked in the answer, the metric and the history."""

    def counted() -> list[float]:
        return [
            server.value(catalog.ANOMALIES, kind=kind),
            server.value(catalog.ANOMALIES),
            server.value(catalog.REQUESTS, outcome=Outcome.ANOMALOUS),
        ]

    before = counted()
    answer = server.post(prompt=kind.value, **LARGE)
    after = counted()
    rows = History(server.history).frame(["request_id", "outcome", "anomaly"])
    row = rows[rows["request_id"] == answer.json()["id"]]

    assert 200 == answer.status_code
    assert [kind.value] == answer.json()["quality"][0]["anomalies"]
    assert [1, 1, 1] == [now - then for now, then in zip(after, before, strict=True)]
    assert [["anomalous", kind.value]] == row[["outcome", "anomaly"]].to_numpy().tolist()


def test_nothing_found(server: Server) -> None:
    """Sound pictures raise nothing; their signals are told, and looking is a stage of its own."""
    found = server.value(catalog.ANOMALIES)
    signals = server.value(catalog.IMAGE_SIGNAL, "_count")
    answer = server.post(**LARGE, n=2)
    found = server.value(catalog.ANOMALIES) - found
    signals = server.value(catalog.IMAGE_SIGNAL, "_count") - signals

    body = answer.json()
    assert [[], []] == [one["anomalies"] for one in body["quality"]]
    assert all(0 <= value <= 1 for one in body["quality"] for value in one["signals"].values())
    assert set(catalog.SIGNALS) == set(body["quality"][0]["signals"])
    assert (0, 2 * len(catalog.SIGNALS)) == (found, signals)
    assert 0 < body["timings"][Stage.GUARD]


def test_off(tmp_path: Path) -> None:
    """With the guard off nothing is looked at and nothing is said."""
    with Server(tmp_path, "--guard", "off") as server:
        answer = server.ready().post(prompt="black", **LARGE)
        page = server.client.get(server.metrics_url).text

    assert "quality" not in answer.json()
    assert Stage.GUARD not in answer.json()["timings"]
    assert catalog.ANOMALIES.name not in page


def test_rejected(tmp_path: Path) -> None:
    """Where spoiled pictures are refused the answer is 502, and sound ones are delivered."""
    with Server(tmp_path, "--guard", "reject") as server:
        refused = server.ready().post(prompt="black", **LARGE)
        meant = server.post(prompt="flat", **LARGE)
        sound = server.post(**LARGE)
    summary = History(server.history).summary()

    assert (502, 200, 200) == (refused.status_code, meant.status_code, sound.status_code)
    assert "spoiled_picture" == refused.json()["error"]["type"]
    assert "false" == refused.headers["x-should-retry"]
    assert "came out black" in refused.json()["error"]["message"]
    assert {"anomalous": 2, "ok": 1} == summary["outcomes"]


def test_made_again(tmp_path: Path) -> None:
    """A spoiled picture is made once more, from a seed that is told; the second take is paid too."""
    with Server(tmp_path, "--guard", "retry") as server:
        again = server.ready().post(prompt="nan", seed=7, n=2, **LARGE)
        spent = server.value(catalog.GPU_SECONDS, kind=GpuTime.USEFUL)
        batches = server.value(catalog.BATCH_SIZE, "_count")
        once = server.post(seed=7, **LARGE)
    body = again.json()
    rows = History(server.history).frame(["gpu_seconds"])

    assert [7 + OTHER_SEED, 8 + OTHER_SEED] == [one["seed"] for one in body["data"]]
    assert [["nan"], ["nan"]] == [one["anomalies"] for one in body["quality"]]
    assert 3 == batches
    assert spent == pytest.approx(body["usage"]["gpu_seconds"])
    assert spent == pytest.approx(rows["gpu_seconds"][0])
    assert sum(v for k, v in body["timings"].items() if k != "total") == pytest.approx(
        body["timings"]["total"], abs=0.005
    )
    assert 7 == once.json()["data"][0]["seed"]


def test_duplicates(server: Server) -> None:
    """Different seeds that give one picture are told; the same request again is none."""
    found = [
        server.post(prompt=prompt, seed=seed, **LARGE).json()["quality"][0]["anomalies"]
        for prompt, seed in [("duplicate", 1), ("duplicate", 1), ("duplicate", 2), ("fox", 2)]
    ]

    assert [[], [], ["duplicate"], []] == found


def test_scored(tmp_path: Path) -> None:
    """A scorer beside the server scores a share of the pictures; no request waits for it."""
    with Server(tmp_path, "--scorer", "sharpness", "--scorer-share", "1") as server:
        server.ready()
        name = {"scorer": "sharpness"}
        scored = eventually(
            lambda: (
                server.post(**LARGE).status_code == 200
                and server.value(catalog.QUALITY_SCORE, "_count", **name) >= 1
            )
        )
        pids = server.worker_pids()

    assert scored
    assert 2 == len(pids)


def test_no_scorer(tmp_path: Path) -> None:
    """A folder that holds no scorer is refused before anything starts."""
    ports = ("--port", "0", "--metrics-port", "0")
    ran = lightmeter("serve", "--model", "still", "--scorer", tmp_path, *ports, cwd=tmp_path)

    assert "no CLIP model" in ran.refusal()
