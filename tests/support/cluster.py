"""A stand-in for a Kubernetes API server: the few resources that scaling touches, as documented.

https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions
"""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from kubernetes import client


PLACE = "/apis/apps/v1/namespaces/images/deployments/shop"


class ApiServer:
    """One Deployment ``images/shop``; ``fault`` answers everything with a status, ``delay`` seconds late."""

    def __init__(self) -> None:
        self.replicas, self.ready, self.version = 1, 1, 7
        self.hpas: list[dict[str, Any]] = []
        self.scaled: list[dict[str, Any]] | None = None
        """KEDA's ScaledObjects; None where there is no KEDA."""
        self.fault, self.delay = 0, 0.0
        self.race = False
        """Somebody writes between our reading and our writing."""
        self.asked: list[tuple[str, str, Any]] = []
        here = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(*here.get(self.path.partition("?")[0]))

            def do_PATCH(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                self._answer(*here.patch(self.path, self.headers["content-type"], body))

            def _answer(self, status: int, content: Any) -> None:
                time.sleep(here.delay)
                if here.fault:
                    status, content = here.fault, {"kind": "Status", "code": here.fault}
                body = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def get(self, path: str) -> tuple[int, Any]:
        """Answer a reading."""
        self.asked.append(("GET", path, None))
        meta = {"name": "shop", "namespace": "images", "resourceVersion": str(self.version)}
        if path == f"{PLACE}/scale":
            self.version += self.race
            return 200, {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": meta, "spec": {"replicas": self.replicas}, "status": {"replicas": self.replicas}}  # fmt: skip
        if path == f"{PLACE}/status":
            template = {"metadata": {"labels": {"app": "shop"}}, "spec": {"containers": [{"name": "x"}]}}  # fmt: skip
            spec = {"replicas": self.replicas, "selector": {"matchLabels": {"app": "shop"}}, "template": template}  # fmt: skip
            return 200, {"metadata": meta, "spec": spec, "status": {"readyReplicas": self.ready}}
        if path.endswith("/horizontalpodautoscalers"):
            return 200, {"items": self.hpas}
        if path.endswith("/scaledobjects") and self.scaled is not None:
            return 200, {"items": self.scaled}
        return 404, {"kind": "Status", "code": 404}

    def patch(self, path: str, kind: str, body: Any) -> tuple[int, Any]:
        """Answer a writing: 409 where the object is another by now."""
        self.asked.append(("PATCH", path, body))
        if "merge-patch" not in kind and "json" not in kind:
            return 415, {}
        if body["metadata"]["resourceVersion"] != str(self.version):
            return 409, {"kind": "Status", "code": 409}
        self.replicas, self.version = body["spec"]["replicas"], self.version + 1
        return 200, {"metadata": {"resourceVersion": str(self.version)}, "spec": body["spec"]}

    @property
    def api(self) -> Any:
        """A client of it."""
        settled = client.Configuration(host=f"http://127.0.0.1:{self._server.server_port}")
        settled.retries = False
        return client.ApiClient(settled)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
