"""The HTTP API: what Grafana asks, and what a wrong question is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from lightmeter.localprom.api import Api
from lightmeter.localprom.exposition import Exemplar
from lightmeter.localprom.keep import Keeper
from lightmeter.localprom.labels import pack
from lightmeter.localprom.rules import Rules, load
from lightmeter.localprom.scrape import State, Target
from lightmeter.localprom.store import Store


RULES = "groups: [{name: g, rules: [{alert: High, expr: 'level > 1'}, {record: twice, expr: 2 * level}]}]"  # fmt: skip


@pytest.fixture(name="client")
def _client(tmp_path: Path) -> TestClient:
    keeper = Keeper(Store())
    for at in range(5):
        keeper.write(at * 15_000, [(pack({"__name__": "level", "job": "a"}), at), (pack({"__name__": "level", "job": "b"}), 0)])  # fmt: skip
    keeper.about["level"] = {"type": "gauge", "help": "How high."}
    keeper.remember(pack({"__name__": "level", "job": "a"}), Exemplar((("trace_id", "t"),), 1.0, 15_000))  # fmt: skip
    (tmp_path / "r.yaml").write_text(RULES)
    rules = Rules(load(tmp_path / "r.yaml"), keeper.store, keeper.write)
    rules.evaluate(61_000)
    targets = [State(Target("http://host:1/metrics", "a"))]
    return TestClient(Api(keeper, rules=rules, targets=targets).app())


def asked(client: TestClient, path: str, **given: str) -> Any:
    """Ask by GET and by POST; both say the same."""
    got = client.get(f"/api/v1/{path}", params=given)
    posted = client.post(f"/api/v1/{path}", data=given)
    assert got.json() == posted.json()
    assert "success" == got.json()["status"], got.text
    return got.json()["data"]


def test_query(client: TestClient) -> None:
    """Vectors, numbers, strings and ranges are answered as Prometheus does."""
    vector = asked(client, "query", query="level > 1", time="60")
    matrix = asked(client, "query", query='level{job="a"}[20s]', time="1970-01-01T00:01:00Z")

    metric = {"__name__": "level", "job": "a"}
    assert {"resultType": "vector", "result": [{"metric": metric, "value": [60.0, "4"]}]} == vector
    assert [[45.0, "3"], [60.0, "4"]] == matrix["result"][0]["values"]
    assert {"resultType": "scalar", "result": [60.0, "+Inf"]} == asked(client, "query", query="1/0", time="60")  # fmt: skip
    assert "string" == asked(client, "query", query='"x"', time="60")["resultType"]


def test_limit(client: TestClient) -> None:
    """Grafana asks for so many names, values and series at most, and gets no more; 0 is all."""
    for path, given in (("labels", {}), ("series", {"match[]": "level"})):
        assert 1 == len(asked(client, path, limit="1", **given))
        assert len(asked(client, path, limit="0", **given)) == len(asked(client, path, **given))
    assert ["a"] == client.get("/api/v1/label/job/values?limit=1").json()["data"]
    refused = client.get("/api/v1/labels?limit=-1")
    assert 400 == refused.status_code
    assert "limit" in refused.json()["error"]


def test_query_range(client: TestClient) -> None:
    """A panel gets a point for each step that has one."""
    found = asked(client, "query_range", query="sum(level)", start="0", end="60", step="30s")

    assert [[0.0, "0"], [30.0, "2"], [60.0, "4"]] == found["result"][0]["values"]


def test_what_there_is(client: TestClient) -> None:
    """Grafana's explorer finds metrics, labels, values, series, meanings and exemplars."""
    assert ["__name__", "alertname", "alertstate", "job"] == asked(client, "labels")
    assert ["a", "b"] == client.get("/api/v1/label/job/values").json()["data"]
    only = client.get("/api/v1/label/job/values", params={"match[]": 'level{job!="a"}'})
    assert ["b"] == only.json()["data"]
    assert [{"__name__": "level", "job": "b"}] == asked(client, "series", **{"match[]": 'level{job="b"}'})  # fmt: skip
    assert [] == asked(client, "series", **{"match[]": "level", "start": "1000", "end": "2000"})
    assert [{"type": "gauge", "help": "How high.", "unit": ""}] == asked(client, "metadata", metric="level")["level"]  # fmt: skip
    (exemplars,) = asked(client, "query_exemplars", query="rate(level[5m])", start="0", end="60")
    assert {"trace_id": "t"} == exemplars["exemplars"][0]["labels"]


def test_how_it_is(client: TestClient) -> None:
    """Rules, alerts, targets, version and readiness can be asked for."""
    (group,) = asked(client, "rules")["groups"]
    assert ["firing", None] == [rule.get("state") for rule in group["rules"]]
    assert ["twice"] == [rule["name"] for rule in asked(client, "rules", type="record")["groups"][0]["rules"]]  # fmt: skip
    (alert,) = asked(client, "alerts")["alerts"]
    assert "High" == alert["labels"]["alertname"]
    assert "unknown" == asked(client, "targets")["activeTargets"][0]["health"]
    assert asked(client, "status/buildinfo")["version"].startswith("3.")
    assert client.get("/-/ready").is_success


@pytest.mark.parametrize(
    ("path", "given", "named"),
    [
        ("query", {}, "query"),
        ("query", {"query": "sum("}, "sum("),
        ("query", {"query": "level", "time": "noon"}, "noon"),
        ("query", {"query": "level", "time": "1e300"}, "1e300"),
        ("query_range", {"query": "level", "start": "0", "end": "60", "step": "0"}, "step"),
        ("query_range", {"query": "level", "start": "0", "end": "60", "step": "soon"}, "soon"),
        ("query_range", {"query": "level", "start": "60", "end": "0", "step": "1"}, "before"),
        ("query_range", {"query": "level", "start": "0", "end": "1e9", "step": "1"}, "11,000"),
        ("series", {}, "match[]"),
        ("query", {"query": "mad_over_time(level[5m])"}, "mad_over_time"),
    ],
)
def test_wrong_questions(client: TestClient, path: str, given: dict[str, str], named: str) -> None:
    """A wrong question is told what is wrong, in Prometheus's form."""
    answer = client.get(f"/api/v1/{path}", params=given)

    assert 400 == answer.status_code
    assert "bad_data" == answer.json()["errorType"]
    assert named in answer.json()["error"]
