"""The workers of one of our servers, started and drained through its admin routes."""

from __future__ import annotations

import ssl
from typing import Any

import httpx

from alerts.scale.fleet import Fleet, of_status, unheard
from lightmeter import secret
from lightmeter.catalog import WorkerState
from lightmeter.errors import TargetError
from lightmeter.units import without_password


_SERVING = (WorkerState.READY, WorkerState.BUSY)
_TO_END = (WorkerState.STARTING, WorkerState.READY, WorkerState.BUSY)
"""Who is let go first: who has not begun, then who is idle; a busy one finishes its batch."""
_SECONDS = 10.0


class Pool:
    """A target: ``url`` is the server's; ``key`` an admin's, where the server has keys."""

    def __init__(self, url: str, key: str = "", trust: ssl.SSLContext | None = None) -> None:
        self._url, self._headers = url, secret.bearer(key)
        self.name, self._trust = without_password(url), trust or True

    def fleet(self) -> Fleet:
        """Count the server's workers, and the requests that wait there or are made."""
        said = self._ask("GET", "/admin/workers")
        states = [worker["state"] for worker in said["workers"]]
        ready, starting = sum(s in _SERVING for s in states), states.count(WorkerState.STARTING)
        return Fleet(ready, starting, said.get("in_flight"))

    def scale(self, to: int) -> str:
        """Start or drain workers until so many are left."""
        standing = [worker for worker in self._workers() if worker["state"] in _TO_END]
        more = to - len(standing)
        for _ in range(more):
            self._ask("POST", "/admin/workers")
        order = sorted(standing, key=lambda worker: _TO_END.index(worker["state"]))
        gone = [str(worker["id"]) for worker in order[: max(0, -more)]]
        for name in gone:
            self._ask("DELETE", f"/admin/workers/{name}")
        return f"started {more}" if more > 0 else f"drained {', '.join(gone) or 'nobody'}"

    def _workers(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._ask("GET", "/admin/workers")["workers"]
        return found

    def _ask(self, method: str, path: str) -> Any:
        try:
            answer = httpx.request(method, self._url.rstrip("/") + path, headers=self._headers, timeout=_SECONDS, trust_env=False, verify=self._trust)  # fmt: skip
            if answer.is_success:
                return answer.json()
            said = answer.json()["error"]["message"]
        except httpx.HTTPError as error:
            raise TargetError(f"server {self.name} cannot be reached: {error}", unheard(error)) from error  # fmt: skip
        except (ValueError, KeyError, TypeError) as error:
            raise TargetError(f"server {self.name} answered {method} {path} with no JSON of ours; is it a lightmeter server?") from error  # fmt: skip
        raise TargetError(f"server {self.name} refused {method} {path} with {answer.status_code}: {said}", of_status(answer.status_code))  # fmt: skip
