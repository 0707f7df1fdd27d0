"""The life of a server: check, listen, load, serve, drain."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry

from inference import energy, zimage
from inference.app import create_app, problem_of_job
from inference.aside import keep_up
from inference.jobs import Jobs
from inference.parts import Parts
from inference.scrapes import serving
from inference.service import ImageService
from inference.setup import FULL, STILL, TINY
from lightmeter import bodies, connections, tls, visitors
from lightmeter.errors import ModelError
from lightmeter.listening import listen
from lightmeter.settings import Serve
from lightmeter.units import counted, url


_log = logging.getLogger(__name__)
SENDING_SECONDS = 5
"""Time to encode, record and send the last answers, once nothing is made any more."""
_ASLEEP = {True: "the first request starts one", False: "POST /admin/workers starts one"}
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def serve(settings: Serve, tell: Callable[[str], None], environ: Mapping[str, str]) -> None:
    """Serve until SIGINT or SIGTERM, then finish what runs and seal the history.

    ``environ`` is asked for OpenTelemetry's standard variables.

    Raises:
        ModelError: the model is no pipeline. PortError: an address is taken.
        HistoryError, StoreError: the history folder or the picture store cannot be written.
        SettingError: a file or place that a setting names cannot be used.
    """
    model = model_name(settings.model)
    secured = tls.files("serve", settings)
    scheme = "https" if secured else "http"
    connections.allow_many()
    with (
        listen(settings.host, settings.port, "--port") as sock,
        contextlib.closing(Parts.open(settings, model, environ)) as parts,
        _metrics(settings, parts.registry, secured) as metrics_port,
    ):
        tell(f"API      {url(settings.host, sock.getsockname()[1], scheme)}")
        tell(f"metrics  {url(settings.host, metrics_port, scheme)}/metrics")
        asyncio.run(_run(parts, sock, tell, secured=secured))


def model_name(model: str) -> str:
    """Check what can be checked before anything is loaded, and name the model.

    Raises:
        ModelError: it is no pipeline folder, no hub id and no built-in.
    """
    if model in (TINY, FULL, STILL):
        return model
    folder = Path(model)
    if folder.exists():
        zimage.check_folder(folder)
        return folder.resolve().name
    if _HUB_ID.fullmatch(model):
        return model.rpartition("/")[2]
    raise ModelError(
        f"model {model!r} does not exist; give a folder saved with save_pretrained, an id like Tongyi-MAI/Z-Image-Turbo, or 'tiny'"
    )


@contextlib.contextmanager
def _metrics(
    settings: Serve, registry: CollectorRegistry, secured: tls.Files | None
) -> Iterator[int]:
    """Serve /metrics; yield the port."""
    with (
        listen(settings.host, settings.metrics_port, "--metrics-port") as sock,
        serving(sock, registry, secured),
    ):
        yield sock.getsockname()[1]


async def _run(parts: Parts, sock: socket.socket, tell: Callable[[str], None], *, secured: tls.Files | None) -> None:  # fmt: skip
    service = parts.service()
    jobs = Jobs.of(service.settings, attic=service.store, explain=problem_of_job)
    app = create_app(service, jobs=jobs, feedback=parts.feedback, tracer=parts.tracer)
    config = connections.config(
        visitors.guarded(app, service.settings),
        secured,
        proxy_headers=False,  # read by inference.links, and from trusted proxies only
        timeout_graceful_shutdown=SENDING_SECONDS,
    )
    server = connections.Server(config)

    draining: list[asyncio.Task[None]] = []

    def stop() -> None:
        server.force_exit = service.door.draining  # the second signal does not wait
        server.should_exit |= service.door.draining
        draining.append(asyncio.create_task(_drain(service, server)))

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    service.pool.start()
    if parts.scorer:
        parts.scorer.start()
    service.fatal.add_done_callback(lambda _: stop())
    beside = [
        keep_up("the announcement", lambda: _announce(service, tell)),
        keep_up("the tuner", service.tuner.run),
        keep_up("the picture store", service.store.keep),
    ]
    if exporter := service.settings.exporter_url:
        beside.append(keep_up("energy metering", lambda: energy.follow(exporter, service.energy)))
    try:
        await server.serve(sockets=[sock])
    finally:
        for task in beside:
            task.cancel()
        await jobs.close()
        if parts.scorer:
            await parts.scorer.stop()
        await service.pool.stop()
    if service.fatal.done():
        service.fatal.result()


async def _drain(service: ImageService, server: connections.Server) -> None:
    """Answer 503 to whoever comes, until what was accepted is done or the time is up."""
    try:
        service.hurry(service.settings.drain)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0 if service.fatal.done() else service.settings.drain):
                await service.inside.nobody()
        service.close()
        bodies.stop_reading()
    finally:
        server.should_exit = True  # whatever happens: who sent the signal waits for the end


async def _announce(service: ImageService, tell: Callable[[str], None]) -> None:
    if service.pool.asleep:
        tell(f"ready    {service.model}, no worker; {_ASLEEP[service.limits.wake]}")
        return
    tell(f"loading  {service.model}; until it is ready the API answers 503")
    await service.ready.wait()
    total = len(service.pool.workers)
    tell(f"ready    {service.model}, {service.pool.able} of {counted(total, 'worker')}")
