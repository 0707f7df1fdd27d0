"""What the scaler sees: readings from Prometheus, each with its age.

An empty answer, NaN or an error is no reading, never 0: read as 0 it would scale production down
at its peak (kedacore/keda#3065, keda-docs#1812).
"""

from __future__ import annotations

import logging
import math
import ssl
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Protocol

import httpx

from alerts.promql import grown, rate, series, share, total
from alerts.scale.spread import scv
from lightmeter import catalog, secret
from lightmeter.catalog import GpuTime, LoadPhase, Outcome, Stage, WorkerState
from lightmeter.errors import ServerError
from lightmeter.scaling.signals import Observations
from lightmeter.units import without_password


_log = logging.getLogger(__name__)
SECONDS = 5.0
"""Of patience for one answer."""
ONCE = 8
"""Questions at the same time."""


class Source(Protocol):
    """Whoever knows what is going on."""

    def look(self) -> Observations:
        """Take all readings; what cannot be had is None."""
        ...


class Windows(NamedTuple):
    """Over what the two rates of arrivals are taken, seconds."""

    short: float = 120.0
    long: float = 900.0


WINDOWS = Windows()


def questions(
    service: str, wait: float, windows: Windows = WINDOWS, *, target: str = "", demand: str = ""
) -> dict[str, str]:
    """Say which expression gives each reading of `Observations`; ``wait`` in seconds.

    ``service_scv`` comes from a vector, the histogram's buckets; all others are one number.
    ``demand`` is the service of a gateway in front of the servers. What it counts is what was asked
    for, and the same requests at the servers are never added to it: what is in flight is the greater
    of the two (jobs are with the servers alone), who waits does so either here or there, and who
    waited too long at either is late.
    """
    by, of = "service", {"service": service}
    front = {"service": demand or service}
    flying = [
        total(by, series(catalog.IN_FLIGHT, service=one))
        for one in sorted({service, *front.values()})
    ]
    both = (service, demand) if demand and demand != service else service
    bound = next((b for b in catalog.STAGE_DURATION.buckets if b >= wait), catalog.STAGE_DURATION.buckets[-1])  # fmt: skip
    asked = series(catalog.REQUESTS, **front, not_outcome=Outcome.INVALID)
    served = series(catalog.REQUESTS, **of, outcome=(Outcome.OK, Outcome.ANOMALOUS))
    useful = series(catalog.GPU_SECONDS, **of, kind=GpuTime.USEFUL)
    starts = series(catalog.MODEL_LOAD, "_count", **of, phase=LoadPhase.WEIGHTS)
    loads = grown(by, series(catalog.MODEL_LOAD, "_sum", **of), "1d")
    begun = (grown("target", series(catalog.COLD_START, part, target=target), "1d") for part in ("_sum", "_count"))  # fmt: skip
    queued = {**front, "stage": Stage.QUEUE}
    waited = f"sum(increase({series(catalog.STAGE_DURATION, '_count', **queued)}[2d]))"
    either = {"service": both, "stage": Stage.QUEUE}
    late = (
        series(catalog.STAGE_DURATION, part, **either, **more)
        for part, more in (("_count", {}), ("_bucket", {"le": f"{bound:g}"}))
    )
    all_, in_time = (f"sum(increase({one}[2d]))" for one in late)
    latency = (series(catalog.REQUEST_DURATION, part, **front) for part in ("_sum", "_count"))
    return {
        "ready": total(by, series(catalog.WORKERS, **of, state=(WorkerState.READY, WorkerState.BUSY))),
        "starting": total(by, series(catalog.WORKERS, **of, state=WorkerState.STARTING)),
        "in_flight": flying[0] if len(flying) == 1 else f"max({' or '.join(flying)}) and sum({series(catalog.IN_FLIGHT, **front)})",
        "queued": f"sum({series(catalog.QUEUE_DEPTH, service=both)})",
        "rate_short": rate(by, asked, f"{windows.short:.0f}s"),
        "rate_long": rate(by, asked, f"{windows.long:.0f}s"),
        "active_users": total(by, series(catalog.ACTIVE_USERS, **front)),
        "service_seconds": share(rate(by, useful, "1h"), rate(by, served, "1h")),
        "service_scv": grown("le", series(catalog.STAGE_DURATION, "_bucket", **of, stage=Stage.DENOISE), "1h"),
        "cold_start_seconds": f"{share(*begun)}\nor on ()\n{share(loads, grown(by, starts, '1d'))}",
        "violation_ratio": f"clamp_max({share(f'({all_} - {in_time})', waited)}, 1)",
        "latency_seconds": share(*(rate(by, one, "5m") for one in latency)),
        "busy": total(by, series(catalog.WORKERS, **of, state=WorkerState.BUSY)),
        "concurrency": f"sum by ({by}) (avg_over_time({series(catalog.IN_FLIGHT, **front)}[1m]))",
    }  # fmt: skip


class Prometheus:
    """Asks a Prometheus, or whatever speaks its API, about one service."""

    def __init__(self, url: str, service: str, wait: float, *, bearer: str = "", windows: Windows = WINDOWS, target: str = "", demand: str = "", trust: ssl.SSLContext | None = None) -> None:  # fmt: skip
        headers = secret.bearer(bearer)
        self._name = without_password(url)
        self._url, self._headers = url, headers
        # made once: to read all authorities takes longer than a look
        self._trust = trust or httpx.create_ssl_context(trust_env=False)
        self._questions = questions(service, wait, windows, target=target, demand=demand)
        self._fresh = (
            f"time() - max(timestamp({series(catalog.IN_FLIGHT, service=demand or service)}))"
        )
        self._service = demand or service
        self._silent = False

    def look(self) -> Observations:
        """Ask everything at once; a Prometheus that does not answer has seen nothing."""
        asked = {**self._questions, "age": self._fresh}
        with self._client() as client, ThreadPoolExecutor(ONCE) as threads:
            values = threads.map(lambda name: _READ.get(name, _value)(_ask(client, asked[name])), asked)  # fmt: skip
            found = dict(zip(asked, values, strict=True))
        age = found.pop("age")
        self._tell(silent=all(value is None for value in found.values()))
        return Observations(**found, ages=dict.fromkeys(found, math.inf if age is None else max(0.0, age)))  # fmt: skip

    def _client(self) -> httpx.Client:
        return httpx.Client(
            base_url=self._url,
            headers=self._headers,
            timeout=SECONDS,
            trust_env=False,
            verify=self._trust,
        )

    def _tell(self, *, silent: bool) -> None:
        if silent != self._silent:
            _log.warning("%s", self._why() if silent else f"Prometheus at {self._name} tells of this service again")  # fmt: skip
        self._silent = silent

    def _why(self) -> str:
        try:
            self.check()
        except ServerError as error:
            return f"{error}; is --prometheus its address?"
        return f"Prometheus at {self._name} tells nothing of service {self._service!r}; is that its name in the metrics, and does it scrape them?"

    def check(self) -> None:
        """See at the start that it is there.

        Raises:
            ServerError: it cannot be reached.
        """
        try:
            with self._client() as client:
                client.get("/api/v1/query", params={"query": "1"}).raise_for_status()
        except httpx.HTTPError as error:
            raise ServerError(f"Prometheus at {self._name} cannot be reached: {error}") from error


Answer = list[tuple[Mapping[str, str], float]]
"""Series: their labels and values."""


def _ask(client: httpx.Client, expr: str) -> Answer:
    try:
        answer = client.get("/api/v1/query", params={"query": expr}).raise_for_status().json()
        result = answer["data"]["result"]
        return [(one["metric"], float(one["value"][1])) for one in result]
    except (httpx.HTTPError, ValueError, KeyError, TypeError, IndexError) as error:
        _log.debug("%s: %s", expr, error)
        return []


def _value(answer: Answer) -> float | None:
    """Read one number; more than one series is a question that was not meant."""
    if len(answer) != 1:
        return None
    value = answer[0][1]
    return value if math.isfinite(value) else None


def _spread(answer: Answer) -> float | None:
    """Read how service times vary from a histogram's buckets."""
    try:
        return scv({float(labels["le"]): value for labels, value in answer if math.isfinite(value)})
    except (KeyError, ValueError):
        return None


_READ: dict[str, Callable[[Answer], float | None]] = {"service_scv": _spread}
