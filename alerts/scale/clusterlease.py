"""One writer in a cluster: a Lease of coordination.k8s.io/v1, taken and kept by compare-and-swap.

Whether another's has run out is judged by how long it was not renewed by our own clock that never
jumps, never by the time that the other wrote: clocks of two machines may be far apart.
https://kubernetes.io/docs/concepts/architecture/leases/ (rights: get, create, update of leases)
"""

from __future__ import annotations

import logging
import os
import socket
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import urllib3
from kubernetes import client
from kubernetes.client.exceptions import ApiException


_log = logging.getLogger(__name__)
SECONDS = 5.0
"""Of patience for one answer."""
MARGIN = 10.0
"""So much before it runs out it is not held any more: a write may be under way."""
_NOT_FOUND, _CONFLICT, _FORBIDDEN = 404, 409, 403


class _Seen(NamedTuple):
    """What was read of a Lease that is another's, and when it was read first."""

    holder: str
    renewed: str
    transitions: int
    lasts: float
    at: float


class ClusterLease:
    """A Lease in a namespace; ``lasts`` seconds, longer than it takes to look a few times."""

    def __init__(self, place: tuple[str, str], api: Any, *, lasts: float, clock: Callable[[], float] = time.monotonic) -> None:  # fmt: skip
        """Take ``place`` (namespace, name) with ``api``, the client's ApiClient."""
        self._namespace, self._name = place
        self._leases = client.CoordinationV1Api(api)
        self._lasts, self._clock = lasts, clock
        self.identity = f"{socket.gethostname()}_{os.getpid()}_{uuid.uuid4().hex[:8]}"
        self._until = float("-inf")
        self._seen: _Seen | None = None

    @property
    def held(self) -> bool:
        """Say whether it is ours, and will be for a while."""
        return self._clock() < self._until - MARGIN

    @property
    def holder(self) -> str:
        """Name who has it."""
        return f"scaler {self._seen.holder}" if self._seen and self._seen.holder else "nobody"

    def take(self) -> bool:
        """Create, renew or take it over, whatever may be; say whether it is ours."""
        asked = self._clock()  # the time on the way is ours to lose
        try:
            self._until = asked + self._lasts if self._try() else float("-inf")
        except ApiException as error:
            self._lost(error)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            _log.warning("lease %s/%s: the API server cannot be reached: %s", self._namespace, self._name, error)  # fmt: skip
        return self.held

    def close(self) -> None:
        """Give it back, so that the next need not wait."""
        if not self.held:
            return
        self._until = float("-inf")
        try:
            now = self._leases.read_namespaced_lease(self._name, self._namespace, _request_timeout=SECONDS)  # fmt: skip
            if now.spec.holder_identity == self.identity:
                self._write(now, holder="", lasts=1, acquired=None)
        except (ApiException, urllib3.exceptions.HTTPError, OSError) as error:
            _log.warning("the lease could not be given back and runs out by itself: %s", error)

    def _try(self) -> bool:
        try:
            now = self._leases.read_namespaced_lease(self._name, self._namespace, _request_timeout=SECONDS)  # fmt: skip
        except ApiException as error:
            if error.status != _NOT_FOUND:
                raise
            self._create()
            return True
        if now.spec.holder_identity == self.identity:
            self._write(now, holder=self.identity, lasts=self._lasts, acquired=None)
            return True
        if not self._over(now):
            return False
        _log.warning("takes lease %s/%s over from %s", self._namespace, self._name, now.spec.holder_identity or "nobody")  # fmt: skip
        self._write(now, holder=self.identity, lasts=self._lasts, acquired=_stamp())
        return True

    def _over(self, now: Any) -> bool:
        """Tell whether another's has not been renewed for as long as it lasts, since we look."""
        spec = now.spec
        read = _Seen(spec.holder_identity or "", str(spec.renew_time), spec.lease_transitions or 0, float(spec.lease_duration_seconds or self._lasts), self._clock())  # fmt: skip
        if self._seen is None or self._seen[:4] != read[:4]:
            self._seen = read
        return not read.holder or read.at - self._seen.at > read.lasts

    def _create(self) -> None:
        meta = {"name": self._name, "namespace": self._namespace}
        spec = {**self._spec(self.identity, self._lasts), "acquireTime": _stamp(), "leaseTransitions": 0}  # fmt: skip
        self._leases.create_namespaced_lease(self._namespace, {"metadata": meta, "spec": spec}, _request_timeout=SECONDS)  # fmt: skip

    def _write(self, now: Any, *, holder: str, lasts: float, acquired: str | None) -> None:
        """Replace what was read, unless it is another by now (409)."""
        spec = self._spec(holder, lasts)
        if acquired:
            spec |= {"acquireTime": acquired, "leaseTransitions": (now.spec.lease_transitions or 0) + 1}  # fmt: skip
        else:
            known = now.spec.acquire_time
            spec |= {"acquireTime": _stamp(known) if known else _stamp(), "leaseTransitions": now.spec.lease_transitions or 0}  # fmt: skip
        meta = {"name": self._name, "namespace": self._namespace, "resourceVersion": now.metadata.resource_version}  # fmt: skip
        self._leases.replace_namespaced_lease(self._name, self._namespace, {"metadata": meta, "spec": spec}, _request_timeout=SECONDS)  # fmt: skip

    def _spec(self, holder: str, lasts: float) -> dict[str, Any]:
        return {"holderIdentity": holder, "leaseDurationSeconds": round(lasts), "renewTime": _stamp()}  # fmt: skip

    def _lost(self, error: ApiException) -> None:
        if error.status == _CONFLICT:
            self._until = float("-inf")
            _log.info("another scaler was faster with lease %s/%s", self._namespace, self._name)
        elif error.status == _FORBIDDEN:
            _log.error("lease %s/%s: this service account may not; it needs get, create and update of leases (coordination.k8s.io)", self._namespace, self._name)  # fmt: skip
        else:
            _log.warning("lease %s/%s: the API server answered %s %s", self._namespace, self._name, error.status, error.reason)  # fmt: skip


def _stamp(at: datetime | None = None) -> str:
    """Write a moment as MicroTime is read: with six digits behind the point, always.

    The client writes moments anew and leaves six zeros out, which the API server refuses.
    """
    moment = (at or datetime.now(UTC)).astimezone(UTC)
    return moment.replace(microsecond=moment.microsecond or 1).isoformat()
