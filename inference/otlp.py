"""Spans to an OpenTelemetry collector, over OTLP/HTTP: the only file that knows the SDK.

Where to, how often, how many and under which name is the SDK's own reading of ``OTEL_*``.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import Span, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, StatusCode, TraceFlags
from opentelemetry.trace.span import TraceState
from opentelemetry.util.types import AttributeValue

from inference.tracing import Facts, Headers, Parent, TraceContext, parent_of
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


@dataclass(frozen=True)
class _Live(TraceContext):
    """A context whose span is open."""

    span: trace.Span


class OtlpTracer:
    """One server span for each request, with a child for each stage, sent in the background.

    A span waits in a bounded queue and is dropped where that is full, so that a collector that is
    slow or dead costs spans and nothing else.
    """

    def __init__(self, service: str) -> None:
        """Start the background sender.

        Raises:
            ValueError: an ``OTEL_*`` variable has a value that the SDK refuses.
        """
        version = metadata.version("lightmeter")
        self._provider = TracerProvider(
            resource=_resource(service, version), shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("lightmeter", version)
        self._complaints = _Complaints()

    def begin(self, headers: Headers) -> TraceContext:
        """Open the request's span; the SDK's sampler decides whether it is kept."""
        caller = parent_of(headers)
        span = self._tracer.start_span(
            OPERATION, _remote(caller) if caller else Context(), SpanKind.SERVER
        )
        own = span.get_span_context()
        return _Live(
            f"{own.trace_id:032x}",
            f"{own.span_id:016x}",
            caller.span_id if caller else None,
            own.trace_flags.sampled,
            span,
        )

    def finish(self, context: TraceContext, facts: Facts) -> None:
        """Close the request's span, with what is known by now, and make those of its stages."""
        if not isinstance(context, _Live) or not isinstance(context.span, Span):
            return
        span = context.span
        began = (span.start_time or time.time_ns()) + _nanoseconds(facts.reading)
        span.update_name(f"{OPERATION} {facts.model}")
        span.set_attributes(dict(attributes(facts)))
        if facts.status >= SERVER_ERROR:
            span.set_status(StatusCode.ERROR, facts.outcome)
        self._stages(span, facts, began)
        span.end(began + _nanoseconds(facts.seconds))

    def _stages(self, root: trace.Span, facts: Facts, began: int) -> None:
        """Lay the stages end to end from the arrival on; only their lengths were measured."""
        parent = trace.set_span_in_context(root, Context())
        for stage, seconds in facts.stages.items():
            if stage is Stage.UNACCOUNTED:
                continue
            ended = began + _nanoseconds(seconds)
            child = self._tracer.start_span(stage, parent, start_time=began)
            if stage is Stage.DENOISE and facts.steps:
                child.set_attribute("lightmeter.step_seconds", facts.steps)
            child.end(ended)
            began = ended

    def close(self) -> None:
        """Send what is left, for `FLUSH_SECONDS` at most."""
        sending = threading.Thread(target=self._provider.shutdown, name="flush", daemon=True)
        sending.start()
        sending.join(FLUSH_SECONDS)
        if sending.is_alive():
            _log.warning("the collector did not take the last spans in %g s", FLUSH_SECONDS)
        self._complaints.close()


def attributes(facts: Facts) -> Iterator[tuple[str, AttributeValue]]:
    """Name a request's facts as OpenTelemetry does, and what it has no word for ``lightmeter.*``."""
    yield "gen_ai.operation.name", OPERATION
    yield "gen_ai.output.type", "image"
    yield "gen_ai.request.model", facts.model
    yield "gen_ai.response.id", facts.request_id
    yield "http.request.method", facts.method
    yield "http.response.status_code", facts.status
    yield "url.path", facts.path
    yield "lightmeter.outcome", facts.outcome
    if facts.status >= SERVER_ERROR:
        yield "error.type", str(facts.status)
    if facts.width is not None:
        yield "lightmeter.size", f"{facts.width}x{facts.height}"
    known: dict[str, AttributeValue | None] = {
        "gen_ai.request.choice.count": facts.images,
        "gen_ai.request.seed": facts.seed,
        "lightmeter.priority": facts.priority,
        "lightmeter.forwards": facts.forwards,
        "lightmeter.batch_size": facts.batch_size,
        "lightmeter.gpu_seconds": facts.gpu_seconds,
        "lightmeter.energy_joules": facts.energy_joules,
        "lightmeter.gpu_uuid": facts.gpu_uuid,
        "lightmeter.unaccounted_seconds": facts.stages.get(Stage.UNACCOUNTED),
    }
    yield from ((name, value) for name, value in known.items() if value is not None)


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)


def _remote(caller: Parent) -> Context:
    """Put the caller where the SDK looks for a parent."""
    parent = SpanContext(
        int(caller.trace_id, 16),
        int(caller.span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED if caller.sampled else TraceFlags.DEFAULT),
        trace_state=TraceState.from_header([caller.state]) if caller.state else None,
    )
    return trace.set_span_in_context(NonRecordingSpan(parent), Context())


def _resource(service: str, version: str) -> Resource:
    """Say who we are, unless the standard variables say it."""
    said = Resource.create()
    if str(said.attributes[SERVICE_NAME]).startswith("unknown_service"):
        said = said.merge(Resource({SERVICE_NAME: service}))
    return Resource({SERVICE_VERSION: version}).merge(said)


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
