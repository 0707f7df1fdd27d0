"""A stand-in for Grafana: folders, data sources and boards over HTTP, as its documentation has them.

https://grafana.com/docs/grafana/latest/developer-resources/api-reference/http-api/
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import unquote


EDITOR, VIEWER = "glsa_editor", "glsa_viewer"
PERMISSIONS = {
    VIEWER: {"dashboards:read": ["folders:uid:general"]},
    EDITOR: {
        "dashboards:read": ["*"], "dashboards:write": ["*"],
        "dashboards:create": ["folders:uid:general"], "folders:create": ["*"],
    },
}  # fmt: skip
Answer = tuple[int, Any]
_SPACE = "/apis/{0}.grafana.app/v1beta1/namespaces/org-3/{0}s"


class Grafana:
    """Behind a path prefix; ``legacy`` says whether it has ``/api`` for folders and boards.

    ``boards`` holds, by uid: the board, how often it was saved, its folder, whether it is provisioned.
    """

    def __init__(self, prefix: str = "/ops", *, legacy: bool = True) -> None:
        self.legacy = legacy
        self.writes: list[str] = []
        self.folders: dict[str, str] = {}
        self.sources: dict[str, dict[str, Any]] = {}
        self.boards: dict[str, dict[str, Any]] = {}
        self.raced = False
        """Somebody saves each board between our reading and our writing."""
        here = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer({})

            def do_POST(self) -> None:
                self._answer(self._body())

            def do_PUT(self) -> None:
                self.do_POST()

            def _body(self) -> Any:
                return json.loads(self.rfile.read(int(self.headers["content-length"])))

            def _answer(self, body: Any) -> None:
                path = unquote(self.path.partition("?")[0]).removeprefix(prefix)
                status, content = here.answer(self.command, path, body, self.headers["authorization"])  # fmt: skip
                text = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}{prefix}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def edit(self, uid: str, **fields: Any) -> None:
        """Save a board as somebody at the page would."""
        held = self.boards[uid]
        held["board"] = held["board"] | fields
        held["saves"] += 1

    def answer(self, method: str, path: str, body: Any, authorization: str) -> Answer:
        """Answer a request."""
        if authorization not in (f"Bearer {EDITOR}", f"Bearer {VIEWER}"):
            return 401, {"message": "Invalid API key"}
        if method != "GET" and authorization != f"Bearer {EDITOR}":
            return 403, {"message": "You'll need additional permissions to perform this action."}
        if method != "GET":
            self.writes.append(f"{method} {path}")
        for start, part in (("/api/datasources", self._source), ("/apis/", self._new)):
            if path.startswith(start):
                return part(method, path, body)
        if path == "/api/access-control/user/permissions":
            return 200, PERMISSIONS[authorization.removeprefix("Bearer ")]
        if path == "/api/frontend/settings":
            return 200, {"namespace": "org-3"}
        return self._old(method, path, body) if self.legacy else (404, {"message": "Not found"})

    def _source(self, method: str, path: str, body: Any) -> Answer:
        uid = path.rpartition("/")[2] if method != "POST" else body["uid"]
        if method != "GET":
            self.sources[uid] = body | {"id": 7}
        return (200, self.sources[uid]) if uid in self.sources else (404, {"message": "Data source not found"})  # fmt: skip

    def _old(self, method: str, path: str, body: Any) -> Answer:
        name = path.rpartition("/")[2]
        if path == "/api/folders" and method == "GET":
            return 200, []
        if path.startswith("/api/folders"):
            return self._folder(name if method == "GET" else body["uid"], body.get("title"))
        if path == "/api/dashboards/db":
            return self._save(body)
        held = self.boards.get(name)
        if held is None:
            return 404, {"message": "Dashboard not found"}
        meta = {"folderUid": held["folder"], "provisioned": held["provisioned"]}
        return 200, {"dashboard": held["board"] | {"id": 1, "version": held["saves"]}, "meta": meta}

    def _folder(self, uid: str, title: str | None) -> Answer:
        if title:
            self.folders[uid] = title
        return (200, {"uid": uid, "title": self.folders[uid]}) if uid in self.folders else (404, {"message": "folder not found"})  # fmt: skip

    def _save(self, body: Any) -> Answer:
        board, held = body["dashboard"], self.boards.get(body["dashboard"]["uid"])
        if held and not body["overwrite"] and board["version"] != held["saves"] + self.raced:
            return 412, {"status": "version-mismatch", "message": "someone else changed it"}
        return self._store(board, body["folderUid"])

    def _store(self, board: Any, folder: str) -> Answer:
        saves = self.boards.get(board["uid"], {"saves": 0})["saves"] + 1
        self.boards[board["uid"]] = {"board": board, "saves": saves, "folder": folder, "provisioned": False}  # fmt: skip
        return 200, {"uid": board["uid"], "version": saves, "status": "success"}

    def _new(self, method: str, path: str, body: Any) -> Answer:
        if path.count("/") == 2:
            return 200, {"kind": "APIGroup", "versions": [{"version": "v2beta1"}, {"version": "v1beta1"}]}  # fmt: skip
        folders, boards = _SPACE.format("folder"), _SPACE.format("dashboard")
        name = body["metadata"]["name"] if body else path.rpartition("/")[2]
        if path.startswith(folders):
            status, found = self._folder(name, body.get("spec", {}).get("title"))
            return status, {"metadata": {"name": name}, "spec": found}
        if not path.startswith(boards):
            return 404, {"kind": "Status", "message": "not found"}
        return self._resource(method, name, body)

    def _resource(self, method: str, name: str, body: Any) -> Answer:
        held = self.boards.get(name)
        if method == "GET":
            return (200, _written(name, held)) if held else (404, {"kind": "Status", "message": "not found"})  # fmt: skip
        token = body["metadata"].get("resourceVersion")
        if (held is not None) != (method == "PUT") or (held and token != f"rv{held['saves'] + self.raced}"):  # fmt: skip
            return 409, {"kind": "Status", "message": "the object has been modified"}
        return self._store(body["spec"] | {"uid": name}, body["metadata"]["annotations"].get("grafana.app/folder", ""))  # fmt: skip


def _written(name: str, held: dict[str, Any]) -> dict[str, Any]:
    notes = {"grafana.app/folder": held["folder"]} | ({"grafana.app/managedBy": "classic-file-provisioning"} if held["provisioned"] else {})  # fmt: skip
    meta = {"name": name, "generation": held["saves"], "resourceVersion": f"rv{held['saves']}", "annotations": notes}  # fmt: skip
    return {"metadata": meta, "spec": {key: value for key, value in held["board"].items() if key != "uid"}}  # fmt: skip
