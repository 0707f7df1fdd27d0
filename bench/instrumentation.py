"""CPU time that measuring one request takes, beside the usual instrumentation for FastAPI.

The same bare FastAPI route, called through ASGI without a network: as it is; with all that a
request for one picture of eight steps sets off in our server (trace context, log context, usage row
on the journal, metrics with exemplars, spans); and with prometheus-fastapi-instrumentator together
with OpenTelemetry's instrumentation or FastAPI's own. All traces are sampled and go to a local sink.
What is counted is the CPU time of the thread that serves, less the bare route's; that of the
threads that send, and in our server count what the guards saw, stands beside it. Medians of
interleaved rounds.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import FastAPI, Request, Response
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from prometheus_client import CollectorRegistry
from prometheus_fastapi_instrumentator import Instrumentator

from bench import common
from inference.answers import Made
from inference.engine import warmup_job
from inference.guards import examine
from inference.orders import Order
from inference.otlp import OtlpTracer
from inference.parts import Parts
from inference.passing import PASSAGE, Passing
from inference.routes_images import GENERATIONS, _Sent
from inference.tickets import Answer, Batch, Ticket
from inference.visit import Caller, Visit
from lightmeter.catalog import Clock, Outcome, Priority, Stage, StopReason
from lightmeter.settings import Serve


ROUNDS, REQUESTS, STEPS = 25, 200, 8
MOST_RATIO, MOST_MICROSECONDS = 0.5, 300
OFF: Any = {"tracing": False, "metrics": False, "logs": False}
BODY = b'{"prompt": "a red fox in snow", "size": "1024x1024"}'
HEADER = {
    "kind": "result",
    "stages": dict.fromkeys((Stage.TEXT_ENCODE, Stage.DENOISE, Stage.VAE_DECODE, Stage.TRANSFER), 0.1),
    "steps": [0.1] * STEPS,
    "clock": Clock.CUDA_EVENT,
    "forwards": STEPS,
    "gpu_seconds": 0.9,
    "peak_vram_bytes": 2**34,
}  # fmt: skip
WORKER = {"gpu_uuid": "GPU-5fd4f087", "gpu_name": "NVIDIA L40S"}
SCOPE = {
    "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
    "path": GENERATIONS, "raw_path": GENERATIONS.encode(), "query_string": b"", "root_path": "",
    "client": ("127.0.0.1", 50000), "server": ("127.0.0.1", 7860),
    "headers": [
        (b"host", b"localhost:7860"), (b"accept", b"*/*"), (b"user-agent", b"bench"),
        (b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode()),
        (b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ],
}  # fmt: skip


@dataclass
class Way:
    """One way to instrument: its app, how to send what waits, and the CPU seconds of a request."""

    name: str
    app: FastAPI
    send: Callable[[], object] = bool
    serving: list[float] = field(default_factory=list)
    sending: list[float] = field(default_factory=list)


def _bare(telemetry: Any = OFF) -> FastAPI:
    """Make a route that reads a body and answers."""
    app = FastAPI(telemetry=telemetry)

    @app.post(GENERATIONS)
    async def generate(request: Request) -> Response:
        await request.body()
        return Response(b'{"data": []}', media_type="application/json")

    return app


def _ours(parts: Parts) -> FastAPI:
    """Make the route with everything of ours that a served request sets off."""
    service, instruments = parts.service(), parts.instruments
    # What the service makes of a request in any case is made beforehand.
    job = warmup_job(1024, STEPS)
    order = Order(job, Priority.INTERACTIVE, "png", user=None)
    answer = Answer(HEADER, b"", 1.0, 1)
    ticket = Ticket(job, Priority.INTERACTIVE, 0.0, asyncio.get_running_loop().create_future())
    ticket.arrived = ticket.started = ticket.attempted = time.monotonic()
    ticket.worker = WORKER
    batch = Batch([ticket], StopReason.DRAINED)
    app = FastAPI(telemetry=OFF)
    app.add_middleware(Passing, paths=(GENERATIONS,), tracer=parts.tracer, access_log=False)

    @app.post(GENERATIONS)
    async def generate(request: Request) -> Response:
        caller = Caller(passage=request.scope[PASSAGE])
        await request.body()
        visit = Visit("shop", "still", caller)
        with instruments.in_flight.track_inprogress(), service._recorded(visit):  # noqa: SLF001  (the place that is measured)
            visit.order, visit.ticket = order, ticket
            visit.answers.append(answer)
            instruments.offered(job)
            instruments.batched(batch)
            with service.energy.drawing(WORKER["gpu_uuid"]):
                pass
            instruments.computed(HEADER, WORKER, wanted=1.0)
            visit.spent(Stage.GUARD, 0.005)
            visit.spent(Stage.ENCODE, 0.05)
            visit.outcome = Outcome.OK
            instruments.delivered(job, visit.stages())
        return _Sent(_Canned(visit, {}, ()), service)

    return app


class _Canned(Made):
    """A served request whose answer is at hand."""

    @property
    def body(self) -> bytes:
        return b'{"data": []}'


def main() -> None:
    """Measure every way in turns; say what each costs beyond the bare route."""
    args = common.arguments(__doc__)
    common.support()
    from support.collector import Collector

    later = {"OTEL_BSP_SCHEDULE_DELAY": "60000", "OTEL_BSP_MAX_QUEUE_SIZE": "8192", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "8192"}  # fmt: skip
    with Collector() as sink, tempfile.TemporaryDirectory() as folder:
        os.environ.update(sink.environment(**later))
        ways = asyncio.run(_measure(Path(folder)))
    bare, *others = ways
    rows: list[dict[str, Any]] = [
        {
            "instrumentation": way.name,
            "µs/request": _beyond(way, bare) * 1e6,
            "in other threads, µs": statistics.median(way.sending) * 1e6,
        }
        for way in others
    ]
    ours, usual = (row["µs/request"] for row in (rows[0], rows[2]))
    missed = []
    if ours > MOST_RATIO * usual:
        missed.append(f"{ours / usual:.2f} of the usual, at most {MOST_RATIO} is asked for")
    if ours > MOST_MICROSECONDS:
        missed.append(f"{ours:.0f} µs, at most {MOST_MICROSECONDS} is asked for")
    libraries = ("fastapi", "opentelemetry-sdk", "opentelemetry-instrumentation-fastapi", "prometheus-client", "prometheus-fastapi-instrumentator")  # fmt: skip
    common.finish(args, common.machine(*libraries), rows, missed)


def _beyond(way: Way, bare: Way) -> float:
    """CPU seconds of a request beyond the bare route's, in the median round."""
    return statistics.median(a - b for a, b in zip(way.serving, bare.serving, strict=True))


async def _measure(folder: Path) -> list[Way]:
    ways = _ways(folder)
    for turn in range(ROUNDS + 1):
        for way in ways:
            gc.collect()
            serving = await _ask(way.app)
            begin = time.thread_time()
            way.send()
            sending = (time.thread_time() - begin) / REQUESTS
            if turn:  # the first is to warm up
                way.serving.append(serving)
                way.sending.append(sending)
    return ways


def _parts(data: Path, environ: Mapping[str, str]) -> Parts:
    settings = Serve.model_validate({"data": data, "model": "still", "seal_rows": 10**6})
    return Parts.open(settings, "still", environ)


def _ways(folder: Path) -> list[Way]:
    with_traces, without = _parts(folder / "one", os.environ), _parts(folder / "two", {})
    ways = [
        Way("none", _bare()),
        Way("lightmeter", _ours(with_traces), functools.partial(_aside, with_traces)),
        Way("lightmeter, no traces configured", _ours(without), functools.partial(_aside, without)),
    ]
    for name in ("opentelemetry-instrumentation-fastapi", "FastAPI's own telemetry"):
        provider = TracerProvider()
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        native = name.startswith("FastAPI")
        app = _bare({**OFF, "tracing": True, "tracer_provider": provider} if native else OFF)
        Instrumentator(registry=CollectorRegistry()).instrument(app)
        if not native:
            FastAPIInstrumentor.instrument_app(app, tracer_provider=provider)
        ways.append(Way(f"prometheus-fastapi-instrumentator + {name}", app, provider.force_flush))
    return ways


def _aside(parts: Parts) -> None:
    """Count what the guards saw, which the server does in a thread; make the spans and send them."""
    finding = examine(np.full((64, 64, 3), 99, np.uint8), nan=False)
    for _ in range(REQUESTS):
        parts.judge._count(finding)  # noqa: SLF001  (the counting, not the looking)
    if isinstance(parts.tracer, OtlpTracer):
        parts.tracer._queue.force_flush()  # noqa: SLF001  (at once)


async def _ask(app: FastAPI) -> float:
    """Call the app again and again; return the CPU seconds of a request."""
    begin = time.thread_time()
    for _ in range(REQUESTS):
        messages = [{"type": "http.request", "body": BODY}]
        answers: list[MutableMapping[str, Any]] = []

        async def receive(waiting: list[dict[str, Any]] = messages) -> dict[str, Any]:
            return waiting.pop() if waiting else {"type": "http.disconnect"}

        async def send(message: MutableMapping[str, Any], to: list[Any] = answers) -> None:
            to.append(message)

        await app(dict(SCOPE), receive, send)
        if answers[0]["status"] != HTTPStatus.OK:
            raise SystemExit(f"the app answered {answers}")
    return (time.thread_time() - begin) / REQUESTS


if __name__ == "__main__":
    main()
