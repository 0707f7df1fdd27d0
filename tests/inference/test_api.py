"""The HTTP API, asked over a real socket. The pictures come from the stand-in engine."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from lightmeter import catalog
from lightmeter.catalog import Outcome, Priority, Stage
from lightmeter.history import History
from support.server import Server, fetch, file, picture


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("data")) as running:
        yield running.ready()


def test_shape(server: Server) -> None:
    """An answer has OpenAI's fields, and says what it cost and where the time went."""
    answer = server.post(size="64x32", seed=7)

    assert 200 == answer.status_code
    body = answer.json()
    assert {
        "id",
        "created",
        "model",
        "size",
        "output_format",
        "usage",
        "timings",
        "quality",
        "data",
    } == set(body)
    assert ("64x32", "png", "still") == (body["size"], body["output_format"], body["model"])
    assert 8 == body["usage"]["forwards"]
    assert 0 < body["usage"]["gpu_seconds"] < body["timings"]["total"]
    assert (64, 32) == picture(answer).size


def test_stages_add_up(server: Server) -> None:
    """The stages of a request add up to its duration, because the rest is named too."""
    timings = server.post().json()["timings"]

    total = timings.pop("total")
    assert sum(timings.values()) == pytest.approx(total, abs=0.005)
    assert {Stage.QUEUE, Stage.DENOISE, Stage.ENCODE, Stage.UNACCOUNTED} <= set(timings)


def test_several(server: Server) -> None:
    """Picture i of a request is the picture that seed + i gives alone."""
    both, second = server.post(n=2, seed=40), server.post(seed=41)

    assert [40, 41] == [entry["seed"] for entry in both.json()["data"]]
    assert file(both, 1) == file(second)
    assert file(both, 0) != file(both, 1)


@pytest.mark.parametrize("name", ["png", "jpeg", "webp"])
def test_formats(server: Server, name: str) -> None:
    """The file format asked for is the one that comes."""
    assert name.upper() == picture(server.post(output_format=name)).format


def test_same_bytes(server: Server) -> None:
    """The same request gives the same file, so nothing of the request is written into it."""
    assert file(server.post(seed=5)) == file(server.post(seed=5))


def test_random_seed(server: Server) -> None:
    """Without a seed each request gets its own, and is told which."""
    seeds = {server.post().json()["data"][0]["seed"] for _ in range(4)}

    assert 4 == len(seeds)


BAD: list[tuple[str, Any]] = [
    ("prompt", None),
    ("prompt", 5),
    ("prompt", "x" * 8001),
    ("negative_prompt", ["no"]),
    ("size", "0x0"),
    ("size", "-64x64"),
    ("size", "100x100"),
    ("size", "64x4096"),
    ("size", "1000000000x16"),
    ("size", "64"),
    ("size", "\uff16\uff14x64"),
    ("size", 64),
    ("size", "1e3x64"),
    ("size", "64x64 "),
    ("n", 0),
    ("n", 99),
    ("n", 10**9),
    ("n", 1e9),
    ("n", True),
    ("n", 1.5),
    ("n", "2"),
    ("num_inference_steps", 0),
    ("num_inference_steps", 51),
    ("guidance_scale", -1),
    ("guidance_scale", 31),
    ("guidance_scale", True),
    ("guidance_scale", 1e308),
    ("num_inference_steps", -1),
    ("seed", 1.5),
    ("seed", True),
    ("seed", -1),
    ("seed", 2**63),
    ("priority", "urgent"),
    ("output_format", "gif"),
    ("response_format", "file"),
    ("model", "another"),
    ("num_step", 4),
    ("stream", "yes"),
]


@pytest.mark.parametrize(("field", "value"), BAD)
def test_invalid(server: Server, field: str, value: Any) -> None:
    """A bad parameter is answered 422 with the field named, and nothing is made."""
    made = server.value(catalog.IMAGES)

    answer = server.post({field: value})

    assert 422 == answer.status_code
    error = answer.json()["error"]
    assert field == error["param"]
    assert field in error["message"]
    assert made == server.value(catalog.IMAGES)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"prompt": NaN}',
        b'{"prompt": "x", "guidance_scale": NaN}',
        b'{"prompt": "x", "guidance_scale": Infinity}',
        b'{"prompt": "x", "seed": 1e400}',
        b'{"prompt": "x", "seed": ' + b"9" * 5000 + b"}",
        b'{"prompt": "x", "user": "\\udfff"}',
        b'{"prompt": "' + b"x" * 900_000 + b'"}',
        '{"prompt": "x"}'.encode("utf-16"),
        b'{"prompt": "\\ud800"}',
        b'{"prompt": "\xff"}',
        b"[" * 5000,
    ],
)
def test_no_json(server: Server, body: bytes) -> None:
    """A body that is no valid request is answered 422 on one line."""
    answer = server.client.post("/v1/images/generations", content=body)

    assert 422 == answer.status_code
    assert "\n" not in answer.json()["error"]["message"]


def test_limit_named(server: Server) -> None:
    """An answer about a limit names the value and the limit."""
    message = server.post(num_inference_steps=51).json()["error"]["message"]

    assert "51" in message
    assert "at most 50" in message


def test_nearest_field(server: Server) -> None:
    """A mistyped field is told the nearest one."""
    message = server.post(negativ_prompt="x").json()["error"]["message"]

    assert "did you mean 'negative_prompt'?" in message


def chunks(count: int) -> Iterator[bytes]:
    for _ in range(count):
        yield b" " * 65536


def test_large_body(server: Server) -> None:
    """A body over the limit is refused with 413, with or without a declared length."""
    declared = server.client.post("/v1/images/generations", content=b" " * 1_100_000)
    chunked = server.client.post("/v1/images/generations", content=chunks(20))

    assert [413, 413] == [declared.status_code, chunked.status_code]


def test_health(server: Server) -> None:
    """Liveness, readiness and version answer without a key."""
    assert 200 == server.client.get("/healthz").status_code
    assert server.client.get("/readyz").json()["ready"]
    assert "still" == server.client.get("/version").json()["model"]


def test_openapi(server: Server) -> None:
    """The API describes itself: what it takes, what it answers, and nothing that is not there."""
    text = server.client.get("/openapi.json").text
    schema = json.loads(text)

    named = schema["components"]["schemas"]
    post = schema["paths"]["/v1/images/generations"]["post"]
    assert "num_inference_steps" in named["ImageRequest"]["properties"]
    assert "timings" in named["PicturesAnswer"]["properties"]
    assert {"application/json", "text/event-stream"} == set(post["responses"]["200"]["content"])
    assert "Retry-After" in post["responses"]["429"]["headers"]
    assert [{"HTTPBearer": []}] == post["security"]
    assert set(re.findall(r'"\$ref":"#/components/schemas/(\w+)"', text)) <= set(named)
    assert "$defs" not in text


def test_counted(server: Server) -> None:
    """Each request is counted once, under how it ended, and its work under done and offered."""
    before = {
        name: server.value(catalog.REQUESTS, outcome=name) for name in (Outcome.OK, Outcome.INVALID)
    }
    offered, done = server.value(catalog.OFFERED_WORK), server.value(catalog.DONE_WORK)
    forwards = server.value(catalog.DENOISE_FORWARDS)

    server.post(size="64x64", n=2, num_inference_steps=3, priority="batch")
    server.post(n=0)

    work = 64 * 64 / 1e6 * 3 * 2
    assert before[Outcome.OK] + 1 == server.value(catalog.REQUESTS, outcome=Outcome.OK)
    assert before[Outcome.INVALID] + 1 == server.value(catalog.REQUESTS, outcome=Outcome.INVALID)
    assert offered + work == pytest.approx(server.value(catalog.OFFERED_WORK))
    assert done + work == pytest.approx(server.value(catalog.DONE_WORK))
    assert forwards + 3 == server.value(catalog.DENOISE_FORWARDS)
    assert 0 < server.value(catalog.REQUEST_DURATION, "_count", priority=Priority.BATCH)


def test_series(server: Server) -> None:
    """A scrape stays far below the 2,000 series of the contract, whatever is asked for."""
    for side in range(16, 400, 16):
        server.post(size=f"{side}x{side}", num_inference_steps=1)

    text = fetch(server.metrics_url).text
    assert 1000 > len([line for line in text.splitlines() if not line.startswith("#")])


def test_openmetrics(server: Server) -> None:
    """A scraper that asks for OpenMetrics gets it."""
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    answer = fetch(server.metrics_url, accept)

    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


def test_rows(tmp_path: Path) -> None:
    """Every answered request is a usage row, refused ones with what is known of them."""
    with Server(tmp_path, "--service", "shop") as server:
        server.ready()
        ok = server.post(size="64x32", n=2, num_inference_steps=3, priority="batch").json()
        server.post(n=0)
        rows = History(server.history).frame(["request_id", "service", "outcome", "width", "images", "forwards", "service_seconds", "queue_seconds", "total_seconds", "priority", "gpu_uuid"])  # fmt: skip

    served, refused = rows.to_dict("records")
    assert (ok["id"], "shop", "ok", 64, 2, 3, "batch") == tuple(
        served[name]
        for name in ("request_id", "service", "outcome", "width", "images", "forwards", "priority")
    )
    assert served["queue_seconds"] + served["service_seconds"] < served["total_seconds"]
    assert pd.isna(served["gpu_uuid"])
    assert "invalid" == refused["outcome"]
    assert pd.isna(refused["service_seconds"])
