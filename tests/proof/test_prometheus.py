"""A real Prometheus scrapes a real server."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from lightmeter import catalog, cli
from lightmeter.catalog import Outcome
from lightmeter.history import History
from support.debian import need
from support.server import Server, eventually


pytestmark = pytest.mark.proof
CONFIG = """
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: lightmeter
    static_configs: [{{targets: ["{target}"]}}]
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "data", model="tiny") as running:
        yield running.ready()


@pytest.fixture
def prometheus(tmp_path: Path, server: Server) -> Iterator[str]:
    program = need("prometheus", "prometheus")
    target = server.metrics_url.removeprefix("http://").removesuffix("/metrics")
    (tmp_path / "prometheus.yml").write_text(CONFIG.format(target=target))
    address = f"127.0.0.1:{free_port()}"
    command = [program, f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/tsdb", f"--web.listen-address={address}", "--enable-feature=exemplar-storage"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        yield f"http://{address}"
        process.terminate()


def ask(prometheus: str, query: str) -> float:
    try:
        answer = httpx.get(f"{prometheus}/api/v1/query", params={"query": query}, trust_env=False)
    except httpx.TransportError:
        return -1.0
    result = answer.json()["data"]["result"] if answer.is_success else []
    return float(result[0]["value"][1]) if result else -1.0


def test_scraped(server: Server, prometheus: str) -> None:
    """What Prometheus has after a scrape is what the clients saw; quantiles can be had."""
    answers = [server.post(seed=seed) for seed in range(5)]
    query = f'sum({catalog.REQUESTS.name}{{outcome="{Outcome.OK}"}})'

    assert eventually(lambda: ask(prometheus, query) == 5.0, seconds=40)
    seconds = ask(prometheus, f"sum({catalog.REQUEST_DURATION.name}_sum)")
    assert seconds == pytest.approx(
        sum(answer.json()["timings"]["total"] for answer in answers), abs=0.1
    )
    end = time.monotonic() + 4
    while time.monotonic() < end:
        server.post()
    median = (
        f"histogram_quantile(0.5, sum by (le) (rate({catalog.REQUEST_DURATION.name}_bucket[10s])))"
    )
    assert eventually(lambda: 0 < ask(prometheus, median) < 1, seconds=20)
    assert 1.0 == ask(prometheus, "up")


def test_exemplars(server: Server, prometheus: str) -> None:
    """Prometheus keeps the trace that a latency bucket points to, for Grafana to open."""
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    server.client.post("/v1/images/generations", json={"prompt": "a lighthouse"}, headers=headers)
    name = f"{catalog.REQUEST_DURATION.name}_bucket"

    def kept() -> list[dict[str, str]]:
        times = {"start": str(time.time() - 600), "end": str(time.time() + 60)}
        try:
            answer = httpx.get(
                f"{prometheus}/api/v1/query_exemplars",
                params={"query": name} | times,
                trust_env=False,
            )
        except httpx.TransportError:
            return []
        series = answer.json()["data"] if answer.is_success else []
        return [found["labels"] for one in series for found in one["exemplars"]]

    assert eventually(kept, seconds=40)
    assert {"trace_id": trace} in kept()


def test_promtool(server: Server) -> None:
    """Prometheus' own tool finds no fault with the exposition."""
    program = need("promtool", "prometheus")
    text = httpx.get(server.metrics_url, trust_env=False).text

    run = subprocess.run(
        [program, "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert (0, "") == (run.returncode, run.stderr)


def test_imported(
    server: Server, prometheus: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a real Prometheus kept of a real server becomes as many rows, as long on the GPU in all."""
    query = f'sum({catalog.REQUESTS.name}{{outcome="{Outcome.OK}"}})'
    assert eventually(lambda: ask(prometheus, query) == 0.0, seconds=40)
    for seed in range(8):
        server.post(seed=seed)
    assert eventually(lambda: ask(prometheus, query) == 8.0, seconds=40)
    time.sleep(2)
    with pytest.raises(SystemExit) as end:
        cli.main(["history", "import", "prometheus", prometheus, "--since", "1s", "--step", "1s", "--out", str(tmp_path / "past")])  # fmt: skip

    assert 0 == end.value.code, capsys.readouterr().err
    columns = ["service", "model", "outcome", "service_seconds", "gpu_seconds"]
    kept, rows = (History(path).frame(columns) for path in (tmp_path / "past", server.history))
    assert [str(Outcome.OK)] * 8 == list(kept["outcome"]) == list(rows["outcome"])
    assert set(rows["service"]) == set(kept["service"])
    assert set(rows["model"]) == set(kept["model"])
    spent = rows["service_seconds"].sum()
    assert 0.4 * spent < kept["service_seconds"].sum() < 2.5 * spent
