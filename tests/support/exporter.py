"""A real exporter process for tests."""

from __future__ import annotations

import queue
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from prometheus_client.samples import Sample

from exporter.exposition import TEXT
from support.cli import clean_environment
from support.fleet import parse
from support.server import fetch


START_SECONDS = 60.0


class Exporter:
    """``lightmeter export`` on a free port; leaving the context ends it with SIGTERM."""

    def __init__(self, *options: str, **variables: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "lightmeter.cli", "export", "--port", "0", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=clean_environment(**variables),
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self.log: list[str] = []
        takers = ((self.process.stdout, self._lines.put), (self.process.stderr, self.log.append))
        self._readers = [threading.Thread(target=self._read, args=pair) for pair in takers]
        for thread in self._readers:
            thread.start()
        self.url = self._announced()

    @staticmethod
    def _read(stream: Any, take: Any) -> None:
        for line in stream:
            take(line)
        take("")

    def _announced(self) -> str:
        while True:
            line = self._lines.get(timeout=START_SECONDS)
            if line.startswith("metrics"):
                return line.split()[-1]
            if not line:
                self.stop()
                raise AssertionError("".join(self.log))

    def scrape(self) -> list[Sample]:
        """Read the page."""
        return parse(fetch(self.url).text, TEXT)

    def stop(self) -> int:
        """End it with SIGTERM; return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        for thread in self._readers:
            thread.join()
        for stream in (self.process.stdout, self.process.stderr):
            if stream:
                stream.close()
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Served:
    """Another exporter, whose page a test sets; None is a fault."""

    def __init__(self, page: str) -> None:
        self.page: str | None = page
        here = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200 if here.page is not None else 500)
                self.end_headers()
                self.wfile.write((here.page or "").encode())

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self.url = f"http://127.0.0.1:{self._server.server_port}/metrics"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
