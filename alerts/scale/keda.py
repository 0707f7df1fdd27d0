"""KEDA's external scaler: hands the latest decision to KEDA, which scales by it.

The only file that imports grpc here (the extra ``keda``). KEDA counts an error towards its fallback,
and holds until then; so what is not known is UNAVAILABLE, never 0.
https://keda.sh/docs/latest/concepts/external-scalers/
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc
import grpc.aio

from alerts.scale import keda_wire as wire
from alerts.scale.watch import Latest
from lightmeter.errors import PortError
from lightmeter.tls import Files


MOST_CALLS = 200
"""At the same time, streams too: KEDA holds one for each of its objects."""
MOST_STREAMS = 100
"""Of them; the rest is for questions, so that nobody who only listens keeps KEDA from asking."""
GRACE = 1.0
"""Seconds that calls have to end in."""
_OPTIONS = {
    "grpc.so_reuseport": 0,  # else two scalers share a port, and nobody notices
    "grpc.max_receive_message_length": 1 << 16,
    "grpc.keepalive_time_ms": 60_000,  # finds out about streams whose other end is gone
    "grpc.keepalive_timeout_ms": 20_000,
    "grpc.http2.min_recv_ping_interval_without_data_ms": 10_000,
}


def metric(service: str) -> str:
    """Name the metric that KEDA asks for; it becomes a name in Kubernetes."""
    return re.sub(r"[^a-z0-9]+", "-", service.lower()).strip("-") + "-desired-replicas"


def wrong(ref: Any, service: str, target: str) -> str:
    """Say what is wrong with who asks, or nothing."""
    given = dict(ref.scalerMetadata)
    who = f"ScaledObject {ref.namespace}/{ref.name}"
    if "service" not in given:
        return f"{who} names no service in its trigger's metadata; add service: {service}"
    for key, ours in (("service", service), ("target", target)):
        if given.get(key, ours) != ours:
            return f"{who} asks for {key} {given[key]!r}, and this scaler decides on {ours!r}"
    namespace = target.partition(":")[2].partition("/")[0] if _IN_CLUSTER.match(target) else ""
    if namespace and ref.namespace and ref.namespace != namespace:
        return f"{who} is in namespace {ref.namespace!r}, and this scaler decides on {target!r}"
    return ""


_IN_CLUSTER = re.compile(r"(deployment|statefulset):[^/]+/")


class _Service:
    """The calls."""

    def __init__(self, latest: Latest, service: str, target: str) -> None:
        self._latest, self._service, self._target = latest, service, target
        self._streams: set[asyncio.Event] = set()

    def told(self) -> None:
        """Wake the streams up; in the loop's thread."""
        for stream in self._streams:
            stream.set()

    async def is_active(self, ref: Any, context: Any) -> Any:
        await self._check(ref, context)
        return wire.IsActiveResponse(result=await self._replicas(context) > 0)

    async def stream_is_active(self, ref: Any, context: Any) -> AsyncIterator[Any]:
        """Say at once what is known, and then each change; nothing while nothing is known."""
        await self._check(ref, context)
        if len(self._streams) >= MOST_STREAMS:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"{MOST_STREAMS} streams are open, the most there may be")  # fmt: skip
        said: bool | None = None
        changed = asyncio.Event()
        changed.set()
        self._streams.add(changed)
        try:
            while await changed.wait():
                changed.clear()
                replicas = self._latest.told().replicas
                if replicas is not None and said != (replicas > 0):
                    said = replicas > 0
                    yield wire.IsActiveResponse(result=said)
        finally:
            self._streams.discard(changed)

    async def spec(self, ref: Any, context: Any) -> Any:
        """One for each replica that is wanted, so that the HPA wants as many as we do."""
        await self._check(ref, context)
        one = wire.MetricSpec(metricName=metric(self._service), targetSize=1, targetSizeFloat=1.0)
        return wire.GetMetricSpecResponse(metricSpecs=[one])

    async def metrics(self, request: Any, context: Any) -> Any:
        await self._check(request.scaledObjectRef, context)
        name = metric(self._service)
        if request.metricName != name:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"there is no metric {request.metricName[:80]!r}; there is {name!r}")  # fmt: skip
        wanted = await self._replicas(context)
        # the float counts only above 0: a 0 is in the integer, and the float is not on the wire
        value = wire.MetricValue(metricName=name, metricValue=wanted, metricValueFloat=float(wanted))  # fmt: skip
        return wire.GetMetricsResponse(metricValues=[value])

    async def _check(self, ref: Any, context: Any) -> None:
        said = wrong(ref, self._service, self._target)
        if said:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, said)

    async def _replicas(self, context: Any) -> int:
        told = self._latest.told()
        if told.replicas is None:
            await context.abort(grpc.StatusCode.UNAVAILABLE, f"no number of replicas: {told.why}")
        return told.replicas or 0

    def handler(self) -> Any:
        """Name the calls as they are on the wire; StreamMetricSpec is left out, which KEDA accepts."""
        ref, unary, stream = wire.ScaledObjectRef, grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler  # fmt: skip
        calls: Mapping[str, tuple[Any, Any, Any]] = {
            "IsActive": (unary, self.is_active, ref),
            "StreamIsActive": (stream, self.stream_is_active, ref),
            "GetMetricSpec": (unary, self.spec, ref),
            "GetMetrics": (unary, self.metrics, wire.GetMetricsRequest),
        }
        handlers = {
            name: kind(call, request_deserializer=asked.FromString, response_serializer=lambda said: said.SerializeToString())
            for name, (kind, call, asked) in calls.items()
        }  # fmt: skip
        return grpc.method_handlers_generic_handler(wire.SERVICE, handlers)


class Keda:
    """Listens in a thread of its own, from `open` to `close`."""

    def __init__(self, latest: Latest, service: str, target: str, tls: Files | None = None) -> None:
        self._latest, self._tls = latest, tls
        self._service = _Service(latest, service, target)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="keda", daemon=True)

    def open(self, host: str, port: int) -> int:
        """Listen; return the port.

        Raises:
            PortError: the address cannot be had.
        """
        self._thread.start()
        try:
            found = asyncio.run_coroutine_threadsafe(self._listen(host, port), self._loop).result()
        except RuntimeError as error:
            self._stop()
            raise PortError(f"{host}:{port} cannot be listened on for KEDA; give another scale.keda_port") from error  # fmt: skip
        self._latest.listeners.append(self._told)
        return found

    def close(self) -> None:
        """End calls and streams, and listen no more."""
        self._latest.listeners.remove(self._told)
        asyncio.run_coroutine_threadsafe(self._server.stop(GRACE), self._loop).result()
        self._stop()

    def _told(self) -> None:
        self._loop.call_soon_threadsafe(self._service.told)

    async def _listen(self, host: str, port: int) -> int:
        self._server = grpc.aio.server(options=list(_OPTIONS.items()), maximum_concurrent_rpcs=MOST_CALLS)  # fmt: skip
        self._server.add_generic_rpc_handlers((self._service.handler(),))
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if self._tls:
            found = self._server.add_secure_port(address, _credentials(self._tls))
        else:
            found = self._server.add_insecure_port(address)
        await self._server.start()
        return int(found)

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def _credentials(tls: Files) -> Any:
    """Take the files anew whenever they have changed and somebody shakes hands."""

    def configured() -> Any:
        text = tls.read()
        return grpc.ssl_server_certificate_configuration([(text.key, text.certificate)], text.authority)  # fmt: skip

    def fetch() -> Any:
        return configured() if tls.changed() else None

    return grpc.dynamic_ssl_server_credentials(configured(), fetch, tls.authority is not None)
