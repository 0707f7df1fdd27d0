"""A stand-in for a Kubernetes API server: the few resources that scaling touches, as documented.

https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions
"""

from __future__ import annotations

import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from kubernetes import client


LEASES, LEASE = (
    "/apis/coordination.k8s.io/v1/namespaces/images/leases",
    "lightmeter-deployment-shop",
)
MICRO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)")
"""https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/lease-v1/"""
PLACE = "/apis/apps/v1/namespaces/images/deployments/shop"


class ApiServer:
    """One Deployment ``images/shop``; ``fault`` answers everything with a status, ``delay`` seconds late."""

    def __init__(self) -> None:
        self.replicas, self.ready, self.version = 1, 1, 7
        self.hpas: list[dict[str, Any]] = []
        self.scaled: list[dict[str, Any]] | None = None
        """KEDA's ScaledObjects; None where there is no KEDA."""
        self.fault, self.delay = 0, 0.0
        self.fault_verb = ""
        """The verb that ``fault`` is for; all where it is empty."""
        self.retry_after = ""
        self.lease: dict[str, Any] | None = None
        """The one Lease there may be."""
        self.race = False
        """Somebody writes between our reading and our writing."""
        self.forbidden: set[str] = set()
        """What the service account may not do: ``VERB RESOURCE/PART``."""
        self.asked: list[tuple[str, str, Any]] = []
        here = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(*here.get(self.path.partition("?")[0]))

            def do_PATCH(self) -> None:
                self._answer(*here.patch(self.path, self.headers["content-type"], self._body()))

            def do_POST(self) -> None:
                self._answer(*here.post(self.path, self._body()))

            def do_PUT(self) -> None:
                self._answer(*here.put(self.path, self._body()))

            def _body(self) -> Any:
                return json.loads(self.rfile.read(int(self.headers["content-length"])))

            def _answer(self, status: int, content: Any) -> None:
                time.sleep(here.delay)
                if here.faulty(self.command):
                    status, content = here.fault, {"kind": "Status", "code": here.fault}
                body = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                if here.retry_after:
                    self.send_header("retry-after", here.retry_after)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def faulty(self, verb: str) -> bool:
        """Say whether the fault is there for a verb."""
        return bool(self.fault) and self.fault_verb in {"", verb}

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
        if path == f"{LEASES}/{LEASE}" and self.lease is not None:
            return 200, self.lease
        return 404, {"kind": "Status", "code": 404}

    def post(self, path: str, body: Any) -> tuple[int, Any]:
        """Answer a creation: 409 where there is one by now."""
        self.asked.append(("POST", path, body))
        if path == "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews":
            of = body["spec"]["resourceAttributes"]
            right = (
                f"{of['verb']} {'/'.join(filter(None, (of['resource'], of.get('subresource'))))}"
            )
            return 201, body | {"status": {"allowed": right not in self.forbidden}}
        if path != LEASES or self.lease is not None:
            return (409 if path == LEASES else 404), {"kind": "Status"}
        return self._keep(body, 201)

    def put(self, path: str, body: Any) -> tuple[int, Any]:
        """Answer a replacement: 409 where the object is another by now."""
        self.asked.append(("PUT", path, body))
        if path != f"{LEASES}/{LEASE}" or self.lease is None:
            return 404, {"kind": "Status", "code": 404}
        self.version += self.race
        if self.race or body["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:  # fmt: skip
            return 409, {"kind": "Status", "code": 409}
        return self._keep(body, 200)

    def _keep(self, body: Any, status: int) -> tuple[int, Any]:
        moments = [body["spec"][name] for name in ("renewTime", "acquireTime")]
        if not all(MICRO_TIME.fullmatch(moment) for moment in moments):
            return 400, {"kind": "Status", "code": 400}
        self.version += 1
        self.lease = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}  # fmt: skip
        return status, self.lease

    def patch(self, path: str, kind: str, body: Any) -> tuple[int, Any]:
        """Answer a writing: 409 where the object is another by now."""
        self.asked.append(("PATCH", path, body))
        if "merge-patch" not in kind and "json" not in kind:
            return 415, {}
        if self.faulty("PATCH"):
            return self.fault, {}
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
