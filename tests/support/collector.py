"""An OpenTelemetry collector for tests: takes OTLP over HTTP, or refuses, or never answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


DELAY_SECONDS = 0.1
"""How long spans wait to be sent together."""


class Span:
    """A span as it came over the wire; ids in hex, times in nanoseconds, attributes as Python has them."""

    def __init__(self, span: Any, resource: dict[str, Any]) -> None:
        self.name: str = span.name
        self.trace_id: str = span.trace_id.hex()
        self.span_id: str = span.span_id.hex()
        self.parent: str = span.parent_span_id.hex()
        self.state: str = span.trace_state
        self.kind: int = span.kind
        self.begin: int = span.start_time_unix_nano
        self.end: int = span.end_time_unix_nano
        self.status: int = span.status.code
        self.attributes = _values(span.attributes)
        self.resource = resource

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.end - self.begin) / 1e9


class Collector:
    """Listens on a free port; ``status`` is what it answers, None to keep the sender waiting."""

    def __init__(self, status: int | None = 200) -> None:
        self.status = status
        self.bodies: list[bytes] = []
        self.paths: set[str] = set()
        self._released = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        serve = self._server.serve_forever
        threading.Thread(target=serve, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def url(self) -> str:
        """Address for OTEL_EXPORTER_OTLP_ENDPOINT."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def environment(self, **more: str) -> dict[str, str]:
        """Return variables that send traces here, soon, and not through a proxy."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.url,
            "OTEL_BSP_SCHEDULE_DELAY": f"{1000 * DELAY_SECONDS:.0f}",
            "NO_PROXY": "*",
        } | more

    @property
    def spans(self) -> list[Span]:
        """What has come so far."""
        return list(self._decoded())

    def _decoded(self) -> Iterator[Span]:
        for body in list(self.bodies):
            for group in ExportTraceServiceRequest.FromString(body).resource_spans:
                resource = _values(group.resource.attributes)
                for scope in group.scope_spans:
                    yield from (Span(span, resource) for span in scope.spans)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.paths.add(self.path)
                if collector.status is None:
                    collector._released.wait()
                    return
                if collector.status == 200:
                    collector.bodies.append(body)
                self.send_response(collector.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (upstream's name)
                pass

        return Handler

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()


def _values(attributes: Any) -> dict[str, Any]:
    return {one.key: _value(one.value) for one in attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    return getattr(value, kind)
