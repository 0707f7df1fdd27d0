"""The scaler's HTTP side: alerts in, a brake, decisions and metrics out."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from alerts.scale.scaler import Scaler
from alerts.scale.wake import Wake
from alerts.webhook import UNAUTHORIZED, Webhook
from lightmeter import bodies, catalog
from lightmeter.catalog import Metric
from lightmeter.errors import SettingError
from lightmeter.scaling.signals import Observations


LONGEST_FREEZE_SECONDS = 30 * 86_400
SHOWN = 100
LONGEST_COUNT = 9
_HOLD = catalog.ACTIONS[2]


class Instruments:
    """Counts what was decided."""

    def __init__(self, registry: CollectorRegistry, target: str) -> None:
        """Begin all counters of the target at zero, so that the first decision is an increase."""

        def gauge(metric: Metric) -> Gauge:
            return Gauge(metric.name, metric.help, metric.labels, registry=registry)

        self._desired, self._ready, self._starting, self._age = (
            gauge(metric)
            for metric in (catalog.DESIRED_REPLICAS, catalog.READY_REPLICAS, catalog.STARTING_REPLICAS, catalog.SIGNAL_AGE)
        )  # fmt: skip
        self._decisions = Counter(catalog.DECISIONS.name, catalog.DECISIONS.help, catalog.DECISIONS.labels, registry=registry)  # fmt: skip
        start = catalog.COLD_START
        self._starts = Histogram(start.name, start.help, start.labels, buckets=start.buckets, registry=registry).labels(target)  # fmt: skip
        for action, term in itertools.product(catalog.ACTIONS, catalog.Term):
            self._decisions.labels(target, action, term)
        self._before: tuple[str, int] | None = None

    def started(self, seconds: float) -> None:
        """Count a replica that is ready so long after it was ordered."""
        self._starts.observe(seconds)

    def decided(self, record: dict[str, Any], seen: Observations) -> None:
        """Count one; what could not be seen is not told, never 0.

        What only says again what the one before said (advice that nobody follows, a brake that
        holds on, an order that failed) changes nothing, and counts as a hold.
        """
        target, action = record["target"], record["action"]
        self._desired.labels(target).set(record["to"])
        before, self._before = self._before, (action, record["to"])
        counted = _HOLD if before == self._before else action
        self._decisions.labels(target, counted, record["chosen_term"]).inc()
        for gauge, value in ((self._ready, seen.ready), (self._starting, seen.starting)):
            gauge.labels(target).set(math.nan if value is None else value)
        for signal, reading in record["observed"].items():
            age = reading["age_seconds"]
            self._age.labels(target, signal).set(math.inf if age is None else age)

    def waits(self) -> None:
        """Tell of no replicas while another one scales: sums over all scalers would count them twice."""
        self._before = None
        for gauge in (self._desired, self._ready, self._starting, self._age):
            gauge.clear()


def create_app(
    scaler: Scaler, webhook: Webhook, registry: CollectorRegistry, clock: Callable[[], float]
) -> Starlette:
    """Make the ASGI application."""

    async def decisions(request: Request) -> Response:
        count = request.query_params.get("last", str(SHOWN))
        if not count.isdecimal() or len(count) > LONGEST_COUNT:
            return _refused(422, f"last is {count[:20]!r}; it must be a number of decisions")
        return JSONResponse({"decisions": list(scaler.audit.last)[-int(count) :] if int(count) else []})  # fmt: skip

    async def freeze(request: Request) -> Response:
        try:
            if not webhook.admits(request):
                return _refused(401, UNAUTHORIZED)
            seconds = json.loads(await bodies.read(request) or b"{}").get("seconds", 3600)
        except (SettingError, bodies.BodyTooSlow, ClientDisconnect) as error:
            return _refused(503, str(error))
        except (ValueError, AttributeError, RecursionError, bodies.BodyTooLarge):
            return _refused(
                400, 'the body is no JSON object; send {"seconds": 3600}, or 0 to go on'
            )
        if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 0 <= seconds <= LONGEST_FREEZE_SECONDS:  # fmt: skip
            return _refused(
                422,
                f"seconds is {ascii(seconds)[:20]}; it must lie between 0 and {LONGEST_FREEZE_SECONDS}",
            )
        until = clock() + seconds if seconds else None
        scaler.freeze(until)
        return JSONResponse({"frozen_until": until})

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    routes = [
        webhook.route,
        Route("/v1/decisions", decisions),
        Wake(scaler, webhook).route,
        Route("/v1/freeze", freeze, methods=["POST"]),
        *_health(scaler),
        Route("/metrics", metrics),
    ]
    return Starlette(routes=routes)


def _health(scaler: Scaler) -> list[Route]:
    """Tell whether it lives, which a restart may mend, and whether it decides, which it may not."""

    def health(status: str, *, well: bool) -> Response:
        told = {
            "status": status,
            "mode": scaler.mode,
            "lease": scaler.lease.held,
            "failures": scaler.failures,
            "seconds_since_decision": round(scaler.silent(), 3),
        }
        return JSONResponse(told, 200 if well else 503)

    async def healthz(_: Request) -> Response:
        alive = scaler.still() <= scaler.patience
        return health("ok" if alive else "stuck", well=alive)

    async def readyz(_: Request) -> Response:
        decides = scaler.silent() <= scaler.patience
        return health("ok" if decides else "deciding nothing", well=decides)

    return [Route("/healthz", healthz), Route("/readyz", readyz)]


def _refused(status: int, reason: str) -> Response:
    return JSONResponse({"error": reason}, status)
