"""The page of metrics, served by threads of its own, so that a scrape never holds up a request."""

from __future__ import annotations

import contextlib
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app

from lightmeter.tls import Files


MOST_CONNECTIONS = 32
"""Connections at the same time, a thread each; the oldest gives way to one more."""
PATIENCE_SECONDS = 10.0
"""A client that neither says nor takes anything for so long is left."""


@contextlib.contextmanager
def serving(
    sock: socket.socket, registry: CollectorRegistry, secured: Files | None = None
) -> Iterator[None]:
    """Serve a registry on a listening socket, behind TLS where there are files for it."""
    server = _Page(sock, registry, secured.context() if secured else None)
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()


class _Handler(WSGIRequestHandler):
    """One request, with nothing in the log."""

    timeout = PATIENCE_SECONDS

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (upstream's name)
        """Log nothing."""


class _Page(ThreadingMixIn, WSGIServer):
    """Threads that answer. `prometheus_client.start_http_server` has no bound on their number."""

    daemon_threads = True

    def __init__(self, sock: socket.socket, registry: CollectorRegistry, context: ssl.SSLContext | None) -> None:  # fmt: skip
        super().__init__(sock.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = sock
        self.server_name, self.server_port = sock.getsockname()[:2]
        self.setup_environ()
        self.set_app(make_wsgi_app(registry))
        self._context = context
        self._open: dict[socket.socket, None] = {}

    def process_request(self, request: Any, client_address: Any) -> None:
        """Begin to answer; whoever has been there longest has said nothing, and goes."""
        self._open[request] = None
        for oldest in list(self._open)[:-MOST_CONNECTIONS]:
            self._open.pop(oldest, None)
            with contextlib.suppress(OSError):
                oldest.shutdown(socket.SHUT_RDWR)
        super().process_request(request, client_address)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Shake hands in the connection's own thread, so that a silent client holds up nobody."""
        if self._context is None:
            super().finish_request(request, client_address)
            return
        request.settimeout(PATIENCE_SECONDS)
        with self._context.wrap_socket(request, server_side=True) as talking:
            self._open[talking] = None
            try:
                super().finish_request(talking, client_address)
            finally:
                self._open.pop(talking, None)

    def close_request(self, request: Any) -> None:
        """End a connection."""
        self._open.pop(request, None)
        super().close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Pass over clients that went away, or never said what they want."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)
