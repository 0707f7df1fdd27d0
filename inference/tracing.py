"""A request's place in a trace: W3C context in and out, spans where somebody collects them.

The context costs a few microseconds and is always there, so that exemplars, logs and the answer
carry its ids. Spans are made by `inference.otlp`, which is imported only where `configured` says so.
"""

from __future__ import annotations

import logging
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from lightmeter.catalog import Outcome, Stage
from lightmeter.rows import UsageRow


_log = logging.getLogger(__name__)
Headers = Iterable[tuple[bytes, bytes]]
"""Header lines as ASGI has them: names in lower case."""
HEADER = "traceparent"
_CALLER = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 0x01


@dataclass(frozen=True)
class Parent:
    """Who asked, by the W3C headers of its request (https://www.w3.org/TR/trace-context/)."""

    trace_id: str
    span_id: str
    sampled: bool
    state: str = ""
    """Its ``tracestate``, lists from several header lines joined."""


@dataclass(frozen=True)
class TraceContext:
    """A request's own ids in lower-case hex, 32 and 16 digits; ``sampled`` where its spans are kept."""

    trace_id: str
    span_id: str
    parent_span_id: str | None
    sampled: bool

    @property
    def traceparent(self) -> str:
        """Value of the header of that name."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"

    @property
    def ids(self) -> dict[str, str]:
        """What log lines carry."""
        return {"trace_id": self.trace_id, "span_id": self.span_id}

    @property
    def exemplar(self) -> dict[str, str] | None:
        """What a latency bucket remembers of the request; None where no trace would be found."""
        return {"trace_id": self.trace_id} if self.sampled else None


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a finished request was. Times in seconds; what is not known is None or empty.

    There is no prompt in it.
    """

    row: UsageRow
    """What the usage history holds of it."""
    method: str
    path: str
    status: int
    outcome: Outcome
    seconds: float
    """From when the request was read to the end of the answer."""
    reading: float = 0.0
    """Before that: from its first line until it was read."""
    seed: int | None = None
    stages: Mapping[Stage, float] = field(default_factory=dict)
    """Seconds by stage, in the order in which they came."""
    steps: Sequence[float] = ()
    """Seconds of each denoise step."""


class Tracer(Protocol):
    """Who gives requests their ids and may tell a collector of them."""

    def begin(self, headers: Headers) -> TraceContext:
        """Give a request that has just arrived its place in a trace."""
        ...

    def keeps(self, context: TraceContext, /) -> bool:
        """Tell whether to `finish` this one is of any use."""
        ...

    def finish(self, context: TraceContext, facts: Facts) -> None:
        """Take note of a finished request; never waits, never fails."""
        ...

    def close(self) -> None:
        """Send what is left, within a bounded time."""
        ...


class NoTracer:
    """Ids without spans, for where nobody collects them."""

    def begin(self, headers: Headers) -> TraceContext:
        """Continue the caller's trace; without one, a fresh trace that is not kept."""
        caller = parent_of(headers)
        if caller:
            return TraceContext(caller.trace_id, fresh_id(16), caller.span_id, caller.sampled)
        return TraceContext(fresh_id(32), fresh_id(16), None, sampled=False)

    def keeps(self, _: TraceContext, /) -> bool:
        """Tell that it is not."""
        return False

    def finish(self, context: TraceContext, facts: Facts) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def fresh_id(digits: int) -> str:
    """Make up an id of so many hexadecimal digits.

    It is no secret, so the kernel is not asked: OpenTelemetry's own come from the same generator.
    """
    return f"{random.getrandbits(4 * digits):0{digits}x}"


def parent_of(headers: Headers) -> Parent | None:
    """Read who asked; None where the headers do not say it, or say it wrongly.

    As the recommendation has it: exactly one ``traceparent``; of a later version only the part
    that is known today; ids of nothing but zeros are none.
    """
    parents, states = [], []
    for name, value in headers:
        if name == b"traceparent":
            parents.append(value.strip())
        elif name == b"tracestate":
            states.append(value.strip())
    match = _CALLER.fullmatch(parents[0]) if len(parents) == 1 else None
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if version == b"ff" or (version == b"00" and more) or not (trace_id.strip(b"0") and span_id.strip(b"0")):  # fmt: skip
        return None
    state = b",".join(states).decode("latin-1")
    return Parent(trace_id.decode(), span_id.decode(), bool(int(flags, 16) & _SAMPLED), state)


def configured(environ: Mapping[str, str]) -> bool:
    """Tell whether the standard variables ask for traces that we can send.

    An address or ``OTEL_TRACES_EXPORTER=otlp`` asks for them; OTLP over HTTP with protobuf is what
    we speak (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/).
    """

    def said(name: str) -> str:
        return environ.get(name, "").strip()

    exporters = [word.strip().lower() for word in said("OTEL_TRACES_EXPORTER").split(",")]
    address = said("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or said("OTEL_EXPORTER_OTLP_ENDPOINT")
    if said("OTEL_SDK_DISABLED").lower() == "true" or (exporters == [""] and not address):
        return False
    if exporters != [""] and "otlp" not in exporters:
        if exporters != ["none"]:
            _log.warning("OTEL_TRACES_EXPORTER is %r, so no trace is sent; say otlp", exporters)
        return False
    protocol = said("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or said("OTEL_EXPORTER_OTLP_PROTOCOL")
    if protocol not in ("", "http/protobuf"):
        _log.warning("the OTLP protocol is %r, so no trace is sent; set OTEL_EXPORTER_OTLP_PROTOCOL to http/protobuf, and the address that goes with it", protocol)  # fmt: skip
        return False
    return True


def open_tracer(environ: Mapping[str, str], service: str) -> Tracer:
    """Return what the standard variables ask for; ``service`` names us where they do not."""
    if not configured(environ):
        return NoTracer()
    from inference.otlp import OtlpTracer

    try:
        return OtlpTracer(service)
    except ValueError as error:
        _log.warning("no trace is sent: %s", error)
        return NoTracer()
