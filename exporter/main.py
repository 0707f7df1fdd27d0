"""The life of the exporter: listen, fill the page, serve until it is told to end."""

from __future__ import annotations

import contextlib
import gc
import signal
import socket
import threading
from collections.abc import Callable, Mapping

from exporter.attribution import Block
from exporter.host import Host
from exporter.options import Options
from exporter.owners import Owners
from exporter.page import Content, Page
from exporter.podresources import PodResources
from exporter.render import Naming
from exporter.serve import Server
from exporter.snapshot import Owner
from exporter.sources import Chosen
from exporter.web import Web
from lightmeter import catalog
from lightmeter.units import url


def run(
    settings: Options,
    chosen: Chosen,
    listener: socket.socket,
    *,
    version: str,
    tell: Callable[[str], None],
) -> None:
    """Serve what a source knows until SIGINT or SIGTERM.

    Raises:
        WebConfigError: the web configuration cannot be used.
        InputError: an option needs a library that is missing.
    """
    web = Web(settings.web_config)
    told = _end_when_told()
    with contextlib.ExitStack() as stack:
        stack.enter_context(listener)
        content = _content(settings, chosen, web, stack=stack, version=version)
        page = Page(content, limit=settings.max_series, compress=settings.gzip)
        server = Server(listener, page.answer, web, limit=settings.connections)
        stack.callback(server.close)
        scheme = "https" if web.rules().tls else "http"
        gc.collect()
        gc.freeze()  # what is here stays: no scrape waits for a collection that looks through it
        tell(f"metrics  {url(settings.host, server.port, scheme)}/metrics")
        told.wait()


def _end_when_told() -> threading.Event:
    told = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: told.set())
    return told


def _content(
    settings: Options, chosen: Chosen, web: Web, *, stack: contextlib.ExitStack, version: str
) -> Content:
    """Start what fills the page beside the GPUs; the stack ends it."""
    host = Host(settings.host_groups, settings.host_root)
    stack.callback(host.close)
    host_labels = catalog.HOSTNAME_LABELS[settings.hostname_label]
    return Content(
        fleet=chosen.source.fleet,
        naming=Naming(settings.hostname or socket.gethostname(), host_labels),
        version=version,
        blocks=_blocks(settings, chosen, stack) if settings.attribution else None,
        host=host,
        config_fresh=lambda: web.fresh,
        certificate_expiry=lambda: web.rules().expires,
        lines_skipped=chosen.lines_skipped,
    )


def _blocks(
    settings: Options, chosen: Chosen, stack: contextlib.ExitStack
) -> Callable[[], Mapping[str, Block]]:
    """Start looking up who uses the GPUs."""
    asked = [chosen.exclusive]
    if settings.pod_resources:
        kubelet = PodResources(settings.pod_resources)
        stack.callback(kubelet.close)
        asked.append(kubelet.exclusive)

    def exclusive() -> Mapping[str, Owner]:
        return {device: owner for ask in asked for device, owner in ask().items()}

    owners = Owners(settings.host_root, exclusive=exclusive, limit=settings.max_series // 2)
    stack.callback(owners.close)
    owners.start(chosen.source.fleet)
    return lambda: owners.blocks
