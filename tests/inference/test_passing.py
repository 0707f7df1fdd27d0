"""A request's trace through a real server: header, spans, exemplar, log line, history; no prompt."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from prometheus_client import CollectorRegistry, Counter, start_http_server
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from lightmeter import catalog
from lightmeter.catalog import Metric, Outcome, Stage
from lightmeter.history import History
from support.cli import clean_environment
from support.collector import DELAY_SECONDS, Collector, Span
from support.server import Server, eventually, fetch


TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PRIVATE = "a very private lighthouse"
LONG = {"num_inference_steps": 200, "size": "16x16"}


def traced(data: Path, collector: Collector) -> Server:
    variables = collector.environment(OTEL_SERVICE_NAME="shop")
    options = ("--access-log", "--max-steps", "200")
    return Server(data, *options, before=["--log-format", "json"], **variables)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Collector]]:
    with Collector() as collector, traced(tmp_path_factory.mktemp("data"), collector) as server:
        yield server.ready(), collector


@pytest.fixture
def server(shared: tuple[Server, Collector]) -> Server:
    """Give the server of all tests, with whatever it told of those before out of the way."""
    server, collector = shared
    time.sleep(3 * DELAY_SECONDS)
    server.log.clear()
    collector.bodies.clear()
    return server


@pytest.fixture
def collector(shared: tuple[Server, Collector]) -> Collector:
    return shared[1]


@pytest.fixture
def own_collector() -> Iterator[Collector]:
    with Collector() as running:
        yield running


@pytest.fixture
def own_server(tmp_path: Path, own_collector: Collector) -> Iterator[Server]:
    with traced(tmp_path, own_collector) as running:
        yield running.ready()


def ask(server: Server, sampled: bool = True, **fields: Any) -> httpx.Response:  # noqa: FBT001, FBT002
    """Ask for a picture from within a trace."""
    headers = {"traceparent": f"00-{TRACE}-{SPAN}-0{int(sampled)}", "tracestate": "shop=1"}
    return server.client.post("/v1/images/generations", json={"prompt": PRIVATE} | fields, headers=headers)  # fmt: skip


def logged(server: Server, **fields: Any) -> list[dict[str, Any]]:
    """Return the log lines that have these fields."""
    lines = [json.loads(line) for line in server.log]
    return [line for line in lines if fields.items() <= line.items()]


def openmetrics(server: Server) -> str:
    """Scrape the way Prometheus does where it stores exemplars."""
    accept = {"accept": "application/openmetrics-text; version=1.0.0"}
    return fetch(server.metrics_url, accept).text


def exemplars(text: str, metric: Metric) -> set[str]:
    """Return the trace ids that a histogram's buckets remember."""
    return {
        sample.exemplar.labels["trace_id"]
        for family in text_string_to_metric_families(text)  # type: ignore[no-untyped-call]  # upstream's
        for sample in family.samples
        if sample.name == f"{metric.name}_bucket" and sample.exemplar
    }


def roots(collector: Collector) -> list[Span]:
    """Return the spans of whole requests."""
    return [span for span in collector.spans if span.kind == 2]


def test_one_trace(own_server: Server, own_collector: Collector) -> None:
    """The caller's trace id is in the answer's header, the spans, the exemplars and the log line."""
    server, collector = own_server, own_collector
    answer = ask(server, seed=5)
    assert eventually(lambda: roots(collector))
    (root,) = roots(collector)
    page = openmetrics(server)
    assert eventually(lambda: logged(server, logger="lightmeter.access"))
    (line,) = logged(server, logger="lightmeter.access")

    assert f"00-{TRACE}-{root.span_id}-01" == answer.headers["traceparent"]
    assert (TRACE, SPAN, "shop=1", "shop") == (
        root.trace_id, root.parent, root.state, root.resource["service.name"]
    )  # fmt: skip
    assert {TRACE} == exemplars(page, catalog.REQUEST_DURATION)
    known = {"trace_id": TRACE, "span_id": root.span_id, "request_id": answer.json()["id"]}
    assert known.items() <= line.items()
    assert ("POST", "/v1/images/generations", 200, "ok") == tuple(
        line[name] for name in ("method", "path", "status", "outcome")
    )


def test_spans_of_an_answer(server: Server, collector: Collector) -> None:
    """The spans say what the answer says: its id, its seed, its stages, its share of the device."""
    body = ask(server, seed=5, size="64x32", num_inference_steps=3).json()
    assert eventually(lambda: roots(collector))
    (root,) = roots(collector)
    children = {span.name: span for span in collector.spans if span is not root and span.kind != 2}

    told = root.attributes
    assert (body["id"], 5, "64x32", 3) == (
        told["gen_ai.response.id"], told["gen_ai.request.seed"], told["lightmeter.size"], told["lightmeter.forwards"]
    )  # fmt: skip
    assert body["usage"]["gpu_seconds"] == told["lightmeter.gpu_seconds"]
    timings = {name: body["timings"][name] for name in children if name != Stage.RESPOND}
    assert timings == pytest.approx({name: children[name].seconds for name in timings}, abs=1e-6)
    assert {"queue", "denoise", "encode", "respond"} <= children.keys()
    assert 3 == len(children["denoise"].attributes["lightmeter.step_seconds"])
    assert all(root.begin <= child.begin <= child.end <= root.end for child in children.values())


def test_unsampled(own_server: Server, own_collector: Collector) -> None:
    """A trace that its caller does not keep leaves ids in answer and log, and nothing else."""
    server, collector = own_server, own_collector
    answer = ask(server, sampled=False)
    server.post()
    assert eventually(lambda: roots(collector))

    assert answer.headers["traceparent"].startswith(f"00-{TRACE}-")
    assert answer.headers["traceparent"].endswith("-00")
    assert TRACE not in openmetrics(server)
    assert [TRACE] != [span.trace_id for span in roots(collector)]
    assert eventually(lambda: logged(server, trace_id=TRACE, status=200))


@pytest.mark.parametrize(("status", "fields"), [(422, {"size": "7x7"}), (413, {"prompt": "x" * 2_000_000})])  # fmt: skip
def test_refused(server: Server, collector: Collector, status: int, fields: dict[str, Any]) -> None:
    """A refused request has a span, a line and the header too, with the status that it got."""
    answer = ask(server, **fields)
    assert eventually(lambda: roots(collector))
    (root,) = collector.spans

    assert status == answer.status_code == root.attributes["http.response.status_code"]
    assert (Outcome.INVALID, 0) == (root.attributes["lightmeter.outcome"], root.status)
    assert f"00-{TRACE}-{root.span_id}-01" == answer.headers["traceparent"]
    assert eventually(lambda: logged(server, status=status, outcome="invalid", trace_id=TRACE))


def test_gone(server: Server, collector: Collector) -> None:
    """A request whose client hangs up is told of as cancelled, with the time it waited."""
    with pytest.raises(httpx.ReadTimeout):
        server.client.post("/v1/images/generations", json={"prompt": PRIVATE} | LONG, timeout=0.3)
    assert eventually(lambda: roots(collector))
    (root,) = roots(collector)

    assert (499, "cancelled") == (
        root.attributes["http.response.status_code"], root.attributes["lightmeter.outcome"]
    )  # fmt: skip
    assert ["queue"] == [
        span.name for span in collector.spans if span is not root and span.kind != 2
    ]
    assert eventually(lambda: logged(server, status=499, outcome="cancelled"))


def test_stream(server: Server, collector: Collector) -> None:
    """A stream is one request: the header comes first, the span ends with the last picture."""
    answer = ask(server, stream=True)
    assert eventually(lambda: roots(collector))
    (root,) = roots(collector)

    assert "image_generation.completed" in answer.text
    assert f"00-{TRACE}-{root.span_id}-01" == answer.headers["traceparent"]
    assert (200, "ok") == (
        root.attributes["http.response.status_code"], root.attributes["lightmeter.outcome"]
    )  # fmt: skip


def test_job(server: Server, collector: Collector) -> None:
    """A job's trace holds the work that was done for it, though its client had gone; so has the log."""
    headers = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
    accepted = server.client.post("/v1/jobs", json={"prompt": PRIVATE}, headers=headers)
    assert eventually(lambda: roots(collector))
    (root,) = roots(collector)

    assert (202, 202) == (accepted.status_code, root.attributes["http.response.status_code"])
    assert f"00-{TRACE}-{root.span_id}-01" == accepted.headers["traceparent"]
    assert "denoise" in {span.name for span in collector.spans if span.parent == root.span_id}
    assert eventually(lambda: logged(server, path="/v1/jobs"))
    (line,) = logged(server, path="/v1/jobs")
    assert ("ok", TRACE, root.span_id) == (line["outcome"], line["trace_id"], line["span_id"])


def test_other_paths(server: Server, collector: Collector) -> None:
    """Probes and scrapes are not traced and not logged."""
    answer = server.client.get("/healthz", headers={"traceparent": f"00-{TRACE}-{SPAN}-01"})
    server.post()
    assert eventually(lambda: roots(collector))

    assert "traceparent" not in answer.headers
    assert [] == [span for span in collector.spans if span.trace_id == TRACE]
    assert [] == logged(server, path="/healthz")


def test_job_never_read(server: Server, collector: Collector) -> None:
    """A job whose body is too large to be read has its line and its span, like any other request."""
    headers = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
    answer = server.client.post("/v1/jobs", content=b"x" * 2_000_000, headers=headers)

    assert 413 == answer.status_code
    assert eventually(lambda: logged(server, logger="lightmeter.access"))
    (line,) = logged(server, logger="lightmeter.access")
    assert (413, "invalid", TRACE) == (line["status"], line["outcome"], line["trace_id"])
    assert eventually(lambda: TRACE in {span.trace_id for span in collector.spans})


def test_no_prompt(tmp_path: Path, own_collector: Collector) -> None:
    """No word of a prompt is exported, logged, measured or stored, whatever becomes of its request."""
    before = ["--verbose", "--log-format", "json"]
    options = ("--access-log", "--max-steps", "200")
    with Server(tmp_path, *options, before=before, **own_collector.environment()) as server:
        server.ready()
        ask(server)
        ask(server, size="7x7")
        ask(server, colour=PRIVATE)
        ask(server, negative_prompt=PRIVATE, seed=PRIVATE)
        ask(server, stream=True, user=PRIVATE)
        assert eventually(lambda: len(roots(own_collector)) == 5)
        assert eventually(lambda: len(logged(server, logger="lightmeter.access")) == 5)
        page = openmetrics(server)
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]

    everything = [*own_collector.bodies, "".join(server.log).encode(), page.encode(), *files]
    assert [] == [text[:200] for text in everything if b"private" in text]


def test_all_lines_are_json(tmp_path: Path) -> None:
    """With a real model too, every line is an object; those of workers as well."""
    with Server(tmp_path, before=["--log-format", "json"], model="tiny") as server:
        server.ready().post(size="64x64")
        (worker,) = server.worker_pids()
        psutil.Process(worker).kill()
        assert eventually(lambda: "died" in "".join(server.log))

    assert [] == [line for line in server.log if not line.startswith("{")]
    assert all(json.loads(line)["level"] for line in server.log)


def test_off(tmp_path: Path) -> None:
    """With nothing configured OpenTelemetry is not loaded, and ids are there all the same."""
    with Server(tmp_path) as server:
        answer, alone = ask(server.ready()), server.post()
        page = openmetrics(server)

    assert TRACE == answer.headers["traceparent"].split("-")[1]
    assert alone.headers["traceparent"].endswith("-00")
    assert {TRACE} == exemplars(page, catalog.REQUEST_DURATION)
    assert [] == [line for line in server.log if "access" in line or TRACE in line]


def test_not_imported(tmp_path: Path) -> None:
    """The API process does not load OpenTelemetry's SDK unless the standard variables ask for it."""
    code = (
        "import sys, atexit\n"
        "sdk = ('opentelemetry.sdk', 'opentelemetry.exporter', 'inference.otlp')\n"
        "atexit.register(lambda: print('loaded', [n for n in sys.modules if n.startswith(sdk)]))\n"
        "from lightmeter.cli import main\n"
        "main(['serve', '--model', 'still', '--data', sys.argv[1], '--port', '0', '--metrics-port', '0'])"
    )
    with subprocess.Popen(
        [sys.executable, "-P", "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=clean_environment()
    ) as process:  # fmt: skip
        lines = iter(process.stdout or ())
        address = next(line.split()[-1] for line in lines if line.startswith("API"))
        assert any(line.startswith("ready") for line in lines)
        body = {"prompt": "a lighthouse"}
        assert httpx.post(f"{address}/v1/images/generations", json=body, trust_env=False).is_success
        process.terminate()
        rest = list(lines)

    assert ["loaded []\n"] == rest


@pytest.mark.parametrize("status", [None, 503])
def test_dead_collector(tmp_path: Path, status: int | None) -> None:
    """A collector that hangs or refuses delays no request and hardly the end; the log is short."""
    with Server(tmp_path) as plain:
        plain.ready()
        usual = [plain.post(seed=seed).elapsed.total_seconds() for seed in range(20)]
    with Collector(status) as dead, Server(tmp_path, **dead.environment()) as server:
        server.ready()
        with_dead = [server.post(seed=seed).elapsed.total_seconds() for seed in range(20)]
        code = server.stop()

    assert 0 == code
    assert sorted(with_dead)[10] < 10 * sorted(usual)[10] + 0.1
    assert len([line for line in server.log if "traces" in line]) < 5


def test_energy(tmp_path: Path) -> None:
    """A CPU has no energy counter: whatever the exporter says, its requests' energy is unknown."""
    registry, metric = CollectorRegistry(), catalog.GPU_ENERGY
    counter = Counter(metric.name, metric.help, metric.labels, registry=registry)
    counter.labels("0", "GPU-1").inc(5)
    exporter, _ = start_http_server(0, "127.0.0.1", registry)
    address = f"http://127.0.0.1:{exporter.server_port}/metrics"
    with Server(tmp_path, "--exporter-url", address) as server:
        body = server.ready().post().json()
        page = openmetrics(server)
    exporter.shutdown()
    exporter.server_close()

    assert "energy_joules" not in body["usage"]
    assert catalog.ENERGY.name + "{" not in page
    assert "energy" not in "".join(server.log)
    assert History(server.history).frame(["energy_joules"])["energy_joules"].isna().all()
