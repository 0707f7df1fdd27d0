"""The page: built when it is asked for and the last one is older than a tick, kept as bytes.

A storm of scrapes gets the same bytes; a single scrape gets readings as fresh as the samplers'.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from exporter import attribution, render
from exporter.attribution import Block
from exporter.exposition import TEXT, Form, Sheet, choose, document, labels
from exporter.host import Host
from exporter.http1 import PROBE, Answer, Request
from exporter.render import Naming
from exporter.snapshot import Fleet
from lightmeter import catalog


FRESH_SECONDS = 0.05
_INDEX = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>lightmeter exporter</title></head>
<body><h1>lightmeter exporter</h1>
<p>GPU and host metrics, version {version}.</p>
<ul><li><a href="metrics">metrics</a></li><li><a href="healthz">healthz</a></li></ul></body></html>
"""


@dataclass(frozen=True, kw_only=True)
class Content:
    """Where a page's content comes from; None leaves a part out."""

    fleet: Callable[[], Fleet]
    naming: Naming
    version: str = ""
    blocks: Callable[[], Mapping[str, Block]] | None = None
    host: Host | None = None
    config_fresh: Callable[[], bool] = lambda: True
    certificate_expiry: Callable[[], float | None] = lambda: None
    lines_skipped: Callable[[], int | None] = lambda: None


class Page:
    """Answers scrapes. ``limit`` is the most series of GPUs, containers and host together."""

    def __init__(
        self,
        content: Content,
        *,
        limit: int = 20_000,
        compress: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._content = content
        self._limit = limit
        self._compress = compress
        self._clock = clock
        self._lock = threading.Lock()
        self._built = float("-inf")
        self._sheets: list[Sheet] = []
        self._bytes: dict[tuple[str, bool], bytes] = {}
        self._scrapes = 0
        self._dropped = 0
        self._started = time.time()

    def answer(self, request: Request) -> Answer:
        """Answer a request for any path."""
        if request.path == "/metrics":
            return self._metrics(request)
        if request.path == PROBE:
            return Answer(200, "ok\n")
        if request.path == "/":
            index = _INDEX.format(version=self._content.version)
            return Answer(200, index, "text/html; charset=utf-8")
        return Answer(404, "there is /metrics, /healthz and /\n")

    def _metrics(self, request: Request) -> Answer:
        form = choose(request.header("accept"))
        small = self._compress and "gzip" in request.header("accept-encoding")
        extra = {"Content-Encoding": "gzip"} if small else {}
        if self._compress:
            extra["Vary"] = "Accept-Encoding"
        return Answer(200, self.bytes(form, small=small), form.content_type, extra)

    def bytes(self, form: Form = TEXT, *, small: bool = False) -> bytes:
        """Return the page in a format, compressed where it should be small."""
        with self._lock:
            self._scrapes += 1
            if self._clock() - self._built >= FRESH_SECONDS:
                self._build()
            key = (form.content_type, small)
            if key not in self._bytes:
                page = document(form, self._sheets)
                self._bytes[key] = _compressed(page) if small else page
            return self._bytes[key]

    def _build(self) -> None:
        """Fill the sheets: the GPUs, who uses them, the host; what overflows is dropped from its end."""
        content = self._content
        fleet = content.fleet()
        sheet = Sheet(self._limit)
        render.write(sheet, fleet, content.naming)
        if content.blocks:
            attribution.write(sheet, fleet, content.blocks())
        if content.host:
            content.host.write(sheet)
        self._dropped += sheet.dropped
        self._sheets, self._bytes = [sheet, self._own()], {}
        self._built = self._clock()

    def _own(self) -> Sheet:
        """Tell of the exporter itself; there is always room for that."""
        sheet = Sheet()
        version = ("version", self._content.version)
        sheet.add(catalog.EXPORTER_BUILD, labels(version), 1)
        sheet.add(catalog.EXPORTER_START, "", self._started)
        sheet.add(catalog.SCRAPES, "", self._scrapes)
        sheet.add(catalog.SERIES_DROPPED, "", self._dropped)
        sheet.add(catalog.CONFIG_RELOADED, "", int(self._content.config_fresh()))
        sheet.add(catalog.CERTIFICATE_EXPIRY, "", self._content.certificate_expiry())
        sheet.add(catalog.DCGM_LINES_SKIPPED, "", self._content.lines_skipped())
        return sheet


def _compressed(page: bytes) -> bytes:
    import gzip

    return gzip.compress(page, 1)
