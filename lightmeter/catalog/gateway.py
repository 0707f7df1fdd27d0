"""The gateway's own metrics, beside the server's that it exposes for its service."""

from __future__ import annotations

from enum import StrEnum

from lightmeter.catalog.metric import COLD_START_BUCKETS, C, G, H, metric


class ReplicaState(StrEnum):
    """What the gateway thinks of a replica."""

    READY = "ready"
    UNREADY = "unready"
    UNREACHABLE = "unreachable"
    EJECTED = "ejected"


class Resent(StrEnum):
    """Why a request was taken from one replica to another."""

    BUSY = "busy"
    UNREADY = "unready"
    UNREACHABLE = "unreachable"
    DIED = "died"
    FAULTY = "faulty"


class WakeResult(StrEnum):
    """What came of asking the scaler for a replica."""

    STARTED = "started"
    STANDING = "standing"
    REFUSED = "refused"
    FAILED = "failed"


ANY_MODEL = "any"
"""The gateway's value of the label ``model``: it has none of its own."""

# fmt: off
GATEWAY_REPLICAS = metric("gateway", "lightmeter_gateway_replicas", G, "replicas", "Replicas that the gateway knows: ready ones get requests; unready ones start, drain or have no worker; unreachable ones do not answer; ejected ones answered with fault after fault.", "state", state=tuple(ReplicaState))
GATEWAY_RESENT = metric("gateway", "lightmeter_gateway_resent_total", C, "requests", "Requests that one replica did not answer and that went back into the line for another, by reason.", "reason", reason=tuple(Resent))
GATEWAY_WAKES = metric("gateway", "lightmeter_gateway_wakes_total", C, "requests", "Times that the scaler was asked for a replica: one was started, one stood or started already, it would not (frozen, advisory), or it did not answer.", "result", result=tuple(WakeResult))
GATEWAY_WAKE_WAIT = metric("gateway", "lightmeter_gateway_wake_wait_seconds", H, "seconds", "From the first request that found no replica ready until one was.", buckets=COLD_START_BUCKETS)
# fmt: on
