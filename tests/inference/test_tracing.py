"""Traces: the W3C headers, which variables ask for spans, what the spans of a request say."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from inference.otlp import OtlpTracer
from inference.tracing import Facts, NoTracer, TraceContext, configured, open_tracer, parent_of
from lightmeter.catalog import Outcome, Priority, Stage
from lightmeter.rows import UsageRow
from support.cli import python
from support.collector import Collector, Span
from support.server import eventually


TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"
STAGES = {
    Stage.QUEUE: 0.25,
    Stage.TEXT_ENCODE: 0.05,
    Stage.DENOISE: 1.5,
    Stage.VAE_DECODE: 0.125,
    Stage.UNACCOUNTED: 0.075,
}


def headers(*parents: str, state: tuple[str, ...] = ()) -> list[tuple[bytes, bytes]]:
    """Write header lines as they arrive."""
    return [
        (b"host", b"localhost"),
        *((b"traceparent", parent.encode()) for parent in parents),
        *((b"tracestate", text.encode()) for text in state),
    ]


def facts(**more: Any) -> Facts:
    """Describe a served request."""
    row = UsageRow(
        request_id="img_1", arrived_at=datetime.now(UTC), model="Z-Image-Turbo", priority=Priority.BATCH,
        width=512, height=256, images=2, forwards=8, batch_size=3, gpu_seconds=0.5,
    )  # fmt: skip
    known: dict[str, Any] = {
        "row": row, "method": "POST", "path": "/v1/images/generations", "status": 200, "outcome": Outcome.OK,
        "seconds": 2.0, "seed": 7, "stages": STAGES, "steps": (0.5, 1.0),
    }  # fmt: skip
    return Facts(**(known | more))


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with Collector() as running:
        for name, text in running.environment().items():
            monkeypatch.setenv(name, text)
        yield running


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what our log says of the sender."""
    return [record.message for record in caplog.records if record.name == OtlpTracer.__module__]


def told(collector: Collector, tracer: OtlpTracer, *contexts: TraceContext, **more: Any) -> list[Span]:  # fmt: skip
    """Finish requests, close the tracer and return the spans that arrived."""
    for context in contexts:
        tracer.finish(context, facts(**more))
    tracer.close()
    return collector.spans


def test_continued() -> None:
    """A request joins its caller's trace under an id of its own."""
    context = NoTracer().begin(headers(PARENT))

    assert (TRACE, SPAN, True) == (context.trace_id, context.parent_span_id, context.sampled)
    assert SPAN != context.span_id
    assert f"00-{TRACE}-{context.span_id}-01" == context.traceparent
    assert {"trace_id": TRACE} == context.exemplar


def test_unsampled() -> None:
    """What the caller does not keep leaves no exemplar, but its ids go on."""
    context = NoTracer().begin(headers(f"00-{TRACE}-{SPAN}-00"))

    assert (TRACE, None) == (context.trace_id, context.exemplar)
    assert context.traceparent.endswith("-00")


def test_fresh() -> None:
    """Without a caller each request gets a trace of its own, which nobody keeps."""
    first, second = (NoTracer().begin(headers()) for _ in range(2))

    assert (32, 16, None) == (len(first.trace_id), len(first.span_id), first.parent_span_id)
    assert first.trace_id != second.trace_id
    assert first.exemplar is None


@pytest.mark.parametrize(
    "parent",
    [
        "",
        "00",
        PARENT.upper(),
        PARENT + "-00",
        PARENT + "0",
        PARENT[:-1],
        "ff" + PARENT[2:],
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}-0g",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00_{TRACE}-{SPAN}-01",
        "cc" + PARENT[2:] + "x",
        "\u00e9",
    ],
)
def test_malformed(parent: str) -> None:
    """A caller that does not keep to the recommendation is as good as none."""
    assert parent_of(headers(parent)) is None
    assert TRACE != NoTracer().begin(headers(parent)).trace_id


def test_twice() -> None:
    """Of two parents neither is believed."""
    assert parent_of(headers(PARENT, PARENT)) is None


@pytest.mark.parametrize("parent", ["cc" + PARENT[2:], "cc" + PARENT[2:] + "-later", f" {PARENT} "])
def test_later_version(parent: str) -> None:
    """A later version of the header is read as far as it is known."""
    caller = parent_of(headers(parent))

    assert caller is not None
    assert (TRACE, SPAN, True) == (caller.trace_id, caller.span_id, caller.sampled)


def test_other_flags() -> None:
    """Flags that are not known yet say nothing about sampling."""
    caller = parent_of(headers(f"00-{TRACE}-{SPAN}-fe"))

    assert caller is not None
    assert not caller.sampled


HERE = "http://localhost:4318"


@pytest.mark.parametrize(
    ("wanted", "variables"),
    [
        (False, {}),
        (False, {"OTEL_SERVICE_NAME": "shop", "OTEL_TRACES_SAMPLER": "always_on"}),
        (False, {"OTEL_EXPORTER_OTLP_ENDPOINT": ""}),
        (False, {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": HERE}),
        (True, {"OTEL_EXPORTER_OTLP_ENDPOINT": HERE}),
        (True, {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": HERE}),
        (True, {"OTEL_TRACES_EXPORTER": "otlp"}),
        (True, {"OTEL_TRACES_EXPORTER": "console, OTLP"}),
        (False, {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": HERE}),
        (False, {"OTEL_SDK_DISABLED": "True", "OTEL_EXPORTER_OTLP_ENDPOINT": HERE}),
        (True, {"OTEL_SDK_DISABLED": "false", "OTEL_EXPORTER_OTLP_ENDPOINT": HERE}),
        (True, {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "OTEL_TRACES_EXPORTER": "otlp"}),
    ],
)
def test_configured(wanted: bool, variables: dict[str, str]) -> None:  # noqa: FBT001  (parametrized)
    """The standard variables alone say whether traces are sent."""
    assert wanted is configured(variables)


@pytest.mark.parametrize(
    ("variables", "word"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "otlp"),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "http/protobuf"),
    ],
)
def test_cannot_send(
    variables: dict[str, str], word: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Traces asked for in a way that we do not have are not sent, and one line says what would do."""
    assert isinstance(open_tracer(variables, "shop"), NoTracer)

    assert [True] == [word in message for message in caplog.messages]


def test_wrong_variable(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A value that OpenTelemetry refuses costs the traces, not the server."""
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "-1")

    assert isinstance(open_tracer(collector.environment(), "shop"), NoTracer)
    assert "no trace is sent" in caplog.messages[-1]


def test_not_loaded() -> None:
    """Where nothing is configured, OpenTelemetry is not even imported."""
    ran = python(
        "import sys\n"
        "from inference.tracing import open_tracer\n"
        "open_tracer({}, 'shop').begin([])\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )

    assert ("[]\n", "") == (ran.out, ran.err)


def test_spans(collector: Collector) -> None:
    """A request is one server span under its caller's, with a child for each stage."""
    tracer = OtlpTracer("shop")
    context = tracer.begin(headers(PARENT, state=("a=1", "b=2")))
    before = time.time_ns()
    root, *stages = sorted(told(collector, tracer, context), key=lambda span: span.kind != 2)

    assert "generate_content Z-Image-Turbo" == root.name
    assert (TRACE, SPAN, context.span_id) == (root.trace_id, root.parent, root.span_id)
    assert {(TRACE, root.span_id)} == {(span.trace_id, span.parent) for span in stages}
    assert {stage: seconds for stage, seconds in STAGES.items() if stage is not Stage.UNACCOUNTED} == {
        span.name: pytest.approx(span.seconds) for span in stages
    }  # fmt: skip
    assert (2.0, True) == (root.seconds, abs(root.begin - before) < 60e9)
    assert ("a=1,b=2", 0) == (root.state, root.status)
    assert {"/v1/traces"} == collector.paths


def test_end_to_end(collector: Collector) -> None:
    """The stages follow one another from the arrival on, within the request."""
    tracer = OtlpTracer("shop")
    spans = told(collector, tracer, tracer.begin(headers()))
    (root,) = [span for span in spans if span.kind == 2]
    stages = sorted((span for span in spans if span is not root), key=lambda span: span.begin)

    assert ["queue", "text_encode", "denoise", "vae_decode"] == [span.name for span in stages]
    edges = [root.begin, *(span.end for span in stages)]
    assert edges[:-1] == [span.begin for span in stages]
    assert root.end - edges[-1] == pytest.approx(0.075e9)


def test_attributes(collector: Collector) -> None:
    """The spans say what was asked for and what it took, in OpenTelemetry's words where it has some."""
    tracer = OtlpTracer("shop")
    spans = told(collector, tracer, tracer.begin(headers()))
    by_name = {span.name: span.attributes for span in spans}

    assert {
        "gen_ai.operation.name": "generate_content", "gen_ai.output.type": "image",
        "gen_ai.request.model": "Z-Image-Turbo", "gen_ai.response.id": "img_1",
        "gen_ai.request.choice.count": 2, "gen_ai.request.seed": 7,
        "http.request.method": "POST", "http.response.status_code": 200, "url.path": "/v1/images/generations",
        "lightmeter.outcome": "ok", "lightmeter.priority": "batch", "lightmeter.size": "512x256",
        "lightmeter.forwards": 8, "lightmeter.batch_size": 3, "lightmeter.gpu_seconds": 0.5,
        "lightmeter.unaccounted_seconds": 0.075,
    } == by_name["generate_content Z-Image-Turbo"]  # fmt: skip
    assert {"lightmeter.step_seconds": [0.5, 1.0]} == by_name["denoise"]
    assert {} == by_name["queue"]


@pytest.mark.parametrize(
    ("status", "outcome", "code"),
    [(422, Outcome.INVALID, 0), (429, Outcome.SHED, 0), (499, Outcome.CANCELLED, 0), (503, Outcome.ERROR, 2), (504, Outcome.TIMEOUT, 2)],
)  # fmt: skip
def test_failed(collector: Collector, status: int, outcome: Outcome, code: int) -> None:
    """A request that was not served is one span; only the server's own faults mark it as an error."""
    tracer = OtlpTracer("shop")
    row = UsageRow(request_id="img_1", arrived_at=datetime.now(UTC), model="m")
    bare = Facts(row=row, method="POST", path="/", status=status, outcome=outcome, seconds=0.1)
    tracer.finish(tracer.begin(headers()), bare)
    tracer.close()
    (span,) = collector.spans

    assert (code, outcome) == (span.status, span.attributes["lightmeter.outcome"])
    assert (str(status) if code else None) == span.attributes.get("error.type")
    assert "lightmeter.size" not in span.attributes


def test_sampled_flag(collector: Collector) -> None:
    """What the caller does not keep is not sent, and not pointed to by an exemplar."""
    tracer = OtlpTracer("shop")
    dropped = tracer.begin(headers(f"00-{TRACE}-{SPAN}-00"))

    assert (TRACE, None) == (dropped.trace_id, dropped.exemplar)
    assert [] == told(collector, tracer, dropped)


def test_sampler(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    """OTEL_TRACES_SAMPLER and its argument decide about requests without a caller."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.25")
    tracer = OtlpTracer("shop")
    contexts = [tracer.begin(headers()) for _ in range(400)]
    spans = told(collector, tracer, *contexts, stages={})

    kept = {context.trace_id for context in contexts if context.sampled}
    assert 40 < len(kept) < 200
    assert kept == {span.trace_id for span in spans}


@pytest.mark.parametrize(
    ("name", "variables"),
    [
        ("shop", {}),
        ("till", {"OTEL_SERVICE_NAME": "till"}),
        ("cart", {"OTEL_RESOURCE_ATTRIBUTES": "service.name=cart,zone=b"}),
    ],
)
def test_resource(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, name: str, variables: dict[str, str]
) -> None:
    """Spans carry the service's name, unless the standard variables give another."""
    for key, text in variables.items():
        monkeypatch.setenv(key, text)
    tracer = OtlpTracer("shop")
    (span, *_) = told(collector, tracer, tracer.begin(headers()))

    assert name == span.resource["service.name"]
    assert ("b" if name == "cart" else None) == span.resource.get("zone")


def test_dead_collector(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A collector that never answers holds up no request, and the end of the server by 2 s or so."""
    caplog.set_level(logging.WARNING)
    with Collector(status=None) as silent:
        for name, text in silent.environment().items():
            monkeypatch.setenv(name, text)
        tracer = OtlpTracer("shop")
        for _ in range(5000):
            tracer.finish(tracer.begin(headers()), facts(stages={}))
        ending = time.monotonic()
        tracer.close()
        ended = time.monotonic()

    assert ended - ending < 15  # the SDK itself would wait 30 s
    assert 1 <= len(complaints(caplog)) < 10


def test_refusing_collector(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A collector that refuses is complained of once in a while, not once for each batch."""
    with Collector(status=400) as refusing:
        for name, text in refusing.environment(OTEL_BSP_MAX_EXPORT_BATCH_SIZE="1").items():
            monkeypatch.setenv(name, text)
        tracer = OtlpTracer("shop")
        for _ in range(20):
            tracer.finish(tracer.begin(headers()), facts(stages={}))
        assert eventually(lambda: complaints(caplog))
        tracer.close()

    assert 1 == len([message for message in complaints(caplog) if "code: 400" in message])
