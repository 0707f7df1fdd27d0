"""A gateway on the loop of the test, and replicas that answer as they are told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
from prometheus_client import CollectorRegistry

from inference.gateway.meters import Meters
from inference.gateway.server import Gate, Ways
from lightmeter.catalog import Metric
from lightmeter.settings_gateway import Gateway
from support.endpoint import Endpoint, Reply, Request, Respond, endpoint
from support.server import GENERATIONS, PLAIN


def error(kind: str, status: int, **headers: str) -> Reply:
    """Answer with an error, shaped as a server's."""
    body = {"error": {"message": "no", "type": kind, "param": None, "code": str(status)}}
    return Reply(status, json.dumps(body).encode(), headers)


async def served(_: Request) -> Reply:
    """Answer with a picture."""
    return Reply()


def replica(respond: Respond = served, name: str = "a", workers: int = 1) -> contextlib.AbstractAsyncContextManager[Endpoint]:  # fmt: skip
    """Be a replica that says it is ready."""
    told = {"/readyz": {"ready": True, "workers": {"ready": workers}}, "/version": {"replica": name}}  # fmt: skip
    return endpoint(respond, told)


def posts(one: Endpoint) -> list[Request]:
    """List what was posted there."""
    return [request for request in one.asked if request.body]


class Front:
    """A gateway on the loop of the test."""

    def __init__(self, gate: Gate, client: httpx.AsyncClient, registry: CollectorRegistry) -> None:
        self.gate, self.client, self._registry = gate, client, registry

    async def post(self, path: str = GENERATIONS, headers: dict[str, str] | None = None, **fields: Any) -> httpx.Response:  # fmt: skip
        """Ask for a picture."""
        body = {"prompt": "a fox", "size": "64x64", **fields}
        return await self.client.post(path, json=body, headers=headers)

    async def together(self, count: int, **fields: Any) -> list[int]:
        """Ask for many at the same time; return the statuses."""
        answers = await asyncio.gather(*(self.post(**fields) for _ in range(count)))
        return [answer.status_code for answer in answers]

    def value(self, metric: Metric, **labels: str) -> float:
        """Sum a metric's samples whose labels match."""
        found = [sample for family in self._registry.collect() for sample in family.samples]
        return sum(one.value for one in found if one.name == metric.name and labels.items() <= one.labels.items())  # fmt: skip

    async def until(self, condition: Callable[[], bool], seconds: float = 20.0) -> None:
        """Wait until something is so."""
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110  (what is looked at has no event)
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def front(*behind: Endpoint | str, ready: int | None = None, **settings: Any) -> AsyncIterator[Front]:  # fmt: skip
    """Serve in front of some replicas, once so many of them are ready; all, if not told."""
    urls = ",".join(one.url if isinstance(one, Endpoint) else one for one in behind)
    registry = CollectorRegistry()
    ways = Ways.read(Gateway(**{"upstream": urls, "probe": 0.1, **settings}))
    gate = Gate.open(ways, Meters(registry, "gateway"))
    with socket.create_server(("127.0.0.1", 0)) as sock:
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        serving = asyncio.create_task(gate.serve(sock))
        async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False, verify=PLAIN) as client:  # fmt: skip
            one = Front(gate, client, registry)
            expected = len(behind) if ready is None else ready
            await one.until(lambda: gate.server.started and len(gate.fleet.able_ones(0.0)) == expected)  # fmt: skip
            try:
                yield one
            finally:
                gate.server.should_exit = True
                await serving


class Late(Endpoint):
    """An endpoint at a port of its own choice."""

    def __init__(self, respond: Respond, told: dict[str, Any], port: int) -> None:
        super().__init__(respond, told)
        self._port = port

    async def open(self) -> None:
        """Listen there."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
