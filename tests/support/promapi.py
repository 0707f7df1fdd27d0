"""A stand-in for Prometheus's API, which answers as it is told."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


class Api:
    """Answers queries as Prometheus's API does: with ``value`` for all, or ``body`` as it is."""

    def __init__(self) -> None:
        self.value, self.age, self.status = "1", "3", 200
        self.result: list[dict[str, Any]] | None = None
        here = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                query = parse_qs(urlsplit(self.path).query)["query"][0]
                value = here.age if query.startswith("time() -") else here.value
                result = here.result if here.result is not None else [{"metric": {}, "value": [0, value]}]  # fmt: skip
                body = json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()  # fmt: skip
                self.send_response(here.status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        """Answer no more."""
        self.server.shutdown()
        self.server.server_close()
