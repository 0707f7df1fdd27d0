"""Spans to an OpenTelemetry collector, over OTLP/HTTP: the only file that knows the SDK.

Where to, how often, how many and under which name is the SDK's own reading of ``OTEL_*``. A
finished request is put on the SDK's bounded queue as it is; the thread that sends makes the spans,
so that they cost the request next to nothing.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.span import TraceState
from opentelemetry.trace.status import Status, StatusCode
from opentelemetry.util.types import AttributeValue

from inference.tracing import Facts, Headers, Parent, TraceContext, fresh_id, parent_of
from lightmeter.catalog import Stage


_log = logging.getLogger(__name__)
OPERATION = "generate_content"
"""OpenTelemetry's word for making content of any kind; it has none for pictures
(https://github.com/open-telemetry/semantic-conventions-genai)."""
SERVER_ERROR = 500
"""Statuses from here on are errors of the span; a client's own mistakes are not
(https://opentelemetry.io/docs/specs/semconv/http/http-spans/#status)."""
FLUSH_SECONDS = 2.0
"""How long the end of the process waits for a collector to take the last spans."""
SILENCE_SECONDS = 60.0
"""A complaint of the exporter's is logged once in this time."""
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_KEPT = SpanContext(1, 1, is_remote=False, trace_flags=_SAMPLED)
"""What the queue asks of a span is whether it is kept."""
_NOBODY = Resource.get_empty()


@dataclass(frozen=True)
class _Begun(TraceContext):
    """A context with what its span will need."""

    at: int
    """Nanoseconds of the wall clock."""
    parent: SpanContext | None
    state: TraceState | None


class OtlpTracer:
    """One server span for each request, with a child for each stage, sent in the background.

    Requests wait in a bounded queue, whose oldest are dropped where it is full: a collector that
    is slow or dead costs spans and nothing else.
    """

    def __init__(self, service: str) -> None:
        """Start the background sender.

        Raises:
            ValueError: an ``OTEL_*`` variable has a value that the SDK refuses.
        """
        resource = _resource(service)
        self._sampler = TracerProvider(resource=resource, shutdown_on_exit=False).sampler
        self._queue = BatchSpanProcessor(_Exporter(resource))
        self._complaints = _Complaints()

    def begin(self, headers: Headers) -> TraceContext:
        """Give a request its ids; the SDK's sampler decides whether its spans are kept."""
        caller = parent_of(headers)
        parent = _remote(caller) if caller else None
        around = trace.set_span_in_context(NonRecordingSpan(parent), Context()) if parent else Context()  # fmt: skip
        trace_id = caller.trace_id if caller else fresh_id(32)
        found = self._sampler.should_sample(around, int(trace_id, 16), OPERATION, SpanKind.SERVER)
        return _Begun(
            trace_id,
            fresh_id(16),
            caller.span_id if caller else None,
            found.decision is Decision.RECORD_AND_SAMPLE,
            time.time_ns(),
            parent,
            found.trace_state,
        )

    def keeps(self, context: TraceContext, /) -> bool:
        """Tell whether the sampler has chosen it."""
        return context.sampled

    def finish(self, context: TraceContext, facts: Facts) -> None:
        """Put a finished request on the queue."""
        if isinstance(context, _Begun) and context.sampled:
            self._queue.on_end(_Request(context, facts))

    def close(self) -> None:
        """Send what is left, for `FLUSH_SECONDS` at most."""
        sending = threading.Thread(target=self._queue.shutdown, name="flush", daemon=True)
        sending.start()
        sending.join(FLUSH_SECONDS)
        if sending.is_alive():
            _log.warning("the collector did not take the last spans in %g s", FLUSH_SECONDS)
        self._complaints.close()


class _Request(ReadableSpan):
    """A finished request on the queue: what its spans will be made from."""

    def __init__(self, begun: _Begun, facts: Facts) -> None:
        super().__init__(OPERATION, _KEPT, resource=_NOBODY)
        self.begun = begun
        self.facts = facts


class _Exporter(SpanExporter):
    """Makes the spans of finished requests and sends them.

    They are the SDK's read-only spans, made directly: its tracer takes three times as long for
    spans that are over when they begin (measured 2026-11).
    """

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        self._scope = InstrumentationScope("lightmeter", metadata.version("lightmeter"))
        self._sender = OTLPSpanExporter()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send the spans of a batch of requests."""
        requests = [request for request in spans if isinstance(request, _Request)]
        return self._sender.export([span for request in requests for span in self._made(request)])

    def shutdown(self) -> None:
        """Give up what is being sent."""
        self._sender.shutdown()  # type: ignore[no-untyped-call]  # upstream's

    def _made(self, request: _Request) -> Iterator[ReadableSpan]:
        """Make the span of a request, and one for each of its stages.

        The stages lie end to end from when the request was read: only their lengths were measured.
        """
        begun, facts = request.begun, request.facts
        own = self._context(begun, int(begun.span_id, 16))
        at = begun.at + _nanoseconds(facts.reading)
        failed = facts.status >= SERVER_ERROR
        yield ReadableSpan(
            f"{OPERATION} {facts.row.model}",
            own,
            begun.parent,
            self._resource,
            dict(attributes(facts)),
            kind=SpanKind.SERVER,
            status=Status(StatusCode.ERROR, facts.outcome) if failed else Status(),
            start_time=begun.at,
            end_time=at + _nanoseconds(facts.seconds),
            instrumentation_scope=self._scope,
        )
        for stage, seconds in facts.stages.items():
            if stage is not Stage.UNACCOUNTED:
                steps = {"lightmeter.step_seconds": facts.steps} if stage is Stage.DENOISE else {}
                yield ReadableSpan(
                    stage,
                    self._context(begun, random.getrandbits(64)),
                    own,
                    self._resource,
                    steps,
                    start_time=at,
                    end_time=(at := at + _nanoseconds(seconds)),
                    instrumentation_scope=self._scope,
                )

    @staticmethod
    def _context(begun: _Begun, span_id: int) -> SpanContext:
        trace_id = int(begun.trace_id, 16)
        return SpanContext(
            trace_id, span_id, is_remote=False, trace_flags=_SAMPLED, trace_state=begun.state
        )


def attributes(facts: Facts) -> Iterator[tuple[str, AttributeValue]]:
    """Name a request's facts as OpenTelemetry does, and what it has no word for ``lightmeter.*``."""
    row = facts.row
    yield "gen_ai.operation.name", OPERATION
    yield "gen_ai.output.type", "image"
    yield "gen_ai.response.id", row.request_id
    yield "http.request.method", facts.method
    yield "http.response.status_code", facts.status
    yield "url.path", facts.path
    yield "lightmeter.outcome", facts.outcome
    if facts.status >= SERVER_ERROR:
        yield "error.type", str(facts.status)
    if row.width is not None:
        yield "lightmeter.size", f"{row.width}x{row.height}"
    known: dict[str, AttributeValue | None] = {
        "gen_ai.request.model": row.model,
        "gen_ai.request.choice.count": row.images,
        "gen_ai.request.seed": facts.seed,
        "lightmeter.priority": row.priority,
        "lightmeter.forwards": row.forwards,
        "lightmeter.batch_size": row.batch_size,
        "lightmeter.gpu_seconds": row.gpu_seconds,
        "lightmeter.energy_joules": row.energy_joules,
        "lightmeter.gpu_uuid": row.gpu_uuid,
        "lightmeter.unaccounted_seconds": facts.stages.get(Stage.UNACCOUNTED),
    }
    yield from ((name, value) for name, value in known.items() if value is not None)


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)


def _remote(caller: Parent) -> SpanContext:
    """Put the caller as the SDK knows it."""
    return SpanContext(
        int(caller.trace_id, 16),
        int(caller.span_id, 16),
        is_remote=True,
        trace_flags=_SAMPLED if caller.sampled else TraceFlags(TraceFlags.DEFAULT),
        trace_state=TraceState.from_header([caller.state]) if caller.state else None,
    )


def _resource(service: str) -> Resource:
    """Say who we are, unless the standard variables say it."""
    said = Resource.create()
    if str(said.attributes[SERVICE_NAME]).startswith("unknown_service"):
        said = said.merge(Resource({SERVICE_NAME: service}))
    return Resource({SERVICE_VERSION: metadata.version("lightmeter")}).merge(said)


class _Complaints(logging.Handler):
    """What the SDK complains of, in our log, and not once for each batch of spans."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._last: dict[str, float] = {}
        logger = logging.getLogger("opentelemetry")
        logger.propagate = False
        logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        if now - self._last.get(str(record.msg), -SILENCE_SECONDS) >= SILENCE_SECONDS:
            self._last[str(record.msg)] = now
            _log.log(record.levelno, "traces: %s", record.getMessage())

    def close(self) -> None:
        """Say no more: the sender may outlive us by a moment."""
        self.setLevel(logging.CRITICAL + 1)
        super().close()
