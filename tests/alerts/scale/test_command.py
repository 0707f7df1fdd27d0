"""``lightmeter scale``, ``explain`` and ``replay``: a week of watching, in seconds."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from lightmeter import catalog
from support.cli import lightmeter
from support.scaling import BUSY, CALM, scaler
from support.scaling_process import alert, running
from support.server import eventually


TOKEN = "0123456789abcdef0123"  # noqa: S105  (of a test)


def test_advisory(tmp_path: Path) -> None:
    """Beside a Prometheus that is down it holds, says why, takes alerts with a token, and can be replayed."""
    token = tmp_path / "token"
    token.write_text(TOKEN)
    bearer = {"authorization": f"Bearer {TOKEN}"}
    with running(tmp_path, "--token-file", str(token), "--prometheus", "http://127.0.0.1:9") as url:
        client = httpx.Client(base_url=url, trust_env=False)
        assert eventually(lambda: client.get("/v1/decisions").json()["decisions"])
        assert 401 == client.post("/v1/alerts", json=alert("firing")).status_code
        assert 401 == client.post("/v1/freeze", json={}).status_code
        told = [
            client.post("/v1/alerts", json=alert("firing"), headers=bearer).json() for _ in range(5)
        ]
        frozen = client.post("/v1/freeze", json={"seconds": 60}, headers=bearer)
        wrong = client.post("/v1/freeze", json={"seconds": -1}, headers=bearer)
        odd = client.post("/v1/freeze", content=rb'{"seconds": "\ud800"}', headers=bearer)
        assert eventually(lambda: client.get("/v1/decisions?last=1").json()["decisions"][0]["action"] == "freeze")  # fmt: skip
        for wrong_count in ("x", "\u00b2", "9" * 5000, "-1"):
            assert 422 == client.get("/v1/decisions", params={"last": wrong_count}).status_code
        deep = client.post("/v1/freeze", content=b"[" * 100_000, headers=bearer)
        token.unlink()
        lost = client.post("/v1/freeze", json={}, headers=bearer)
        metrics = client.get("/metrics").text
        client.close()

    assert (200, 422, 400) == (frozen.status_code, wrong.status_code, deep.status_code)
    assert (422, "seconds is '\\ud800'; it must lie between 0 and 2592000") == (
        odd.status_code,
        odd.json()["error"],
    )
    assert (503, True) == (lost.status_code, "does not exist" in lost.text)
    assert [1, 0, 0, 0, 0] == [one["began"] for one in told]
    assert f'{catalog.DESIRED_REPLICAS.name}{{target="null"}} 0.0' in metrics
    explained = lightmeter("explain", "last", "--decisions", tmp_path / "scale", cwd=tmp_path)
    assert "freeze from 0 to 0" in explained.out
    replayed = lightmeter("replay", tmp_path / "scale", "--json", cwd=tmp_path)
    assert (0, []) == (replayed.code, json.loads(replayed.out)["different"])


def test_explain(tmp_path: Path) -> None:
    """A decision is told with its votes, what was seen, and what came of it."""
    record = scaler(tmp_path / "scale", [BUSY]).step()
    assert record is not None
    ran = lightmeter("explain", record["id"][:6], "--decisions", tmp_path / "scale", cwd=tmp_path)

    assert (0, f"up from 0 to {record['to']}") == (ran.code, ran.out.splitlines()[0].partition("null: ")[2])  # fmt: skip
    assert {record["reason"], "came of it: remembered", "6  in_flight"} <= {line.strip() for line in ran.out.splitlines()}  # fmt: skip
    unknown = lightmeter("explain", "zzz", "--decisions", tmp_path / "scale", cwd=tmp_path)
    assert "give another ID" in unknown.refusal()


def test_replay(tmp_path: Path) -> None:
    """A decision that comes out differently is named, and the exit code says so."""
    one = scaler(tmp_path / "scale", [BUSY, CALM])
    one.step()
    one.step()
    file = tmp_path / "scale" / "decisions.jsonl"
    first, rest = file.read_text().split("\n", 1)
    changed = json.loads(first)
    file.write_text(json.dumps({**changed, "to": changed["to"] + 1}) + "\n" + rest)
    ran = lightmeter("replay", file, cwd=tmp_path)

    assert (1, "2 decisions, 1 different") == (ran.code, ran.out.splitlines()[-1])
    assert changed["id"] in ran.out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--target", "pol:http://x"], "did you mean 'pool'"),
        (["--host", "::"], "give scale.token_file"),
        (["--min", "9"], "min must not be above max"),
        (["--keda-port", "0"], "give scale.target deployment:NAMESPACE/NAME"),
        (["--tls-cert-file", "x"], "give both files"),
        (["--client-ca-file", "x"], "give both files"),
        (["--tls-cert-file", "x", "--tls-key-file", "y"], "TLS file 'x' does not exist"),
        (["--token-file", "nowhere"], "token file 'nowhere' does not exist"),
        (["--secret-file", "nowhere"], "secret file 'nowhere' does not exist"),
        (["--prometheus", "localhost:9090"], "scale.prometheus is 'localhost:9090'"),
    ],
)
def test_refused(tmp_path: Path, options: list[str], said: str) -> None:
    """What is wrong is named before anything listens."""
    assert said in lightmeter("scale", "--port", "0", *options, cwd=tmp_path).refusal()


def test_port_taken(tmp_path: Path) -> None:
    """A port that is taken is exit code 2, with what to do."""
    with running(tmp_path) as url:
        port = url.rpartition(":")[2]
        ran = lightmeter("scale", "--port", port, "--data", tmp_path / "other", cwd=tmp_path)
        keda = lightmeter("scale", "--port", "0", "--keda-port", port, "--act", "--data", tmp_path / "other", cwd=tmp_path)  # fmt: skip

    assert "is already in use; give another --port" in ran.refusal()
    assert "is already in use; give another --keda-port" in keda.refusal()


def test_no_page_of_others(tmp_path: Path) -> None:
    """A page in a browser on this machine can neither freeze a scaler without a token, nor wake it, nor read it by another name."""
    with running(tmp_path, "--prometheus", "http://127.0.0.1:9") as url:
        asked = [
            httpx.post(url + path, content=b"{}", headers=headers, trust_env=False).status_code
            for path in ("/v1/freeze", "/v1/alerts", "/v1/wake")
            for headers in ({"origin": "http://evil.com", "content-type": "text/plain"}, {"host": "evil.com"})
        ]  # fmt: skip
        read = httpx.get(f"{url}/v1/decisions", headers={"host": "evil.com"}, trust_env=False)
        own = httpx.post(f"{url}/v1/freeze", json={"seconds": 1}, trust_env=False)

    assert [403, 421] * 3 == asked
    assert (421, 200) == (read.status_code, own.status_code)
