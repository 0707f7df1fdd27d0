"""The Lease in a cluster: one writer, and the next when that one is gone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any, Self

import pytest

from alerts.scale import clusterlease
from alerts.scale.cluster import Cluster
from alerts.scale.clusterlease import MARGIN, ClusterLease
from alerts.scale.fleet import Leased
from alerts.scale.lease import Both, Lease
from support.clock import Clock
from support.cluster import LEASE, ApiServer
from support.scaling import BUSY, scaler


LASTS = 60.0


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer() as one:
        yield one


def lease(server: ApiServer, clock: Clock) -> ClusterLease:
    return ClusterLease(("images", LEASE), server.api, lasts=LASTS, clock=clock)


def spec(server: ApiServer) -> dict[str, Any]:
    assert server.lease is not None
    found: dict[str, Any] = server.lease["spec"]
    return found


def test_created(server: ApiServer) -> None:
    """The first makes it and renews it; nothing but the moment of renewal changes."""
    clock = Clock(0.0)
    one = lease(server, clock)
    assert one.take()
    made = spec(server)
    clock.now = 15.0
    assert one.take()

    assert (one.identity, 60, 0) == tuple(made[name] for name in ("holderIdentity", "leaseDurationSeconds", "leaseTransitions"))  # fmt: skip
    assert made["renewTime"] < spec(server)["renewTime"]
    assert made["acquireTime"] == spec(server)["acquireTime"]
    assert 0 == spec(server)["leaseTransitions"]


def test_even_second(server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A renewal at an even second is written as the API server reads it."""

    class Even(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return super().now(tz).replace(microsecond=0)

    monkeypatch.setattr(clusterlease, "datetime", Even)

    assert lease(server, Clock(0.0)).take()


def test_second(server: ApiServer) -> None:
    """Another one waits as long as it is renewed, and takes over when it has run out by its own clock."""
    here, there = Clock(0.0), Clock(10_000_000.0)
    one, other = lease(server, here), lease(server, there)
    assert one.take()
    for _ in range(20):
        here.now += 15
        there.now += 15
        assert one.take()
        assert not other.take()
    assert f"scaler {one.identity}" == other.holder
    there.now += LASTS
    assert not other.take()  # not longer than it lasts since the last renewal that was read
    there.now += 1
    assert other.take()
    assert (other.identity, 1) == (spec(server)["holderIdentity"], spec(server)["leaseTransitions"])
    here.now += LASTS - MARGIN
    assert not one.held
    assert not one.take()


def test_clock_of_the_other(server: ApiServer) -> None:
    """A holder whose clock is years behind is not taken for gone."""
    one, other = lease(server, Clock(0.0)), lease(server, Clock(0.0))
    one.take()
    spec(server)["renewTime"] = "2001-01-01T00:00:00.000000Z"

    assert not other.take()


def test_race(server: ApiServer) -> None:
    """Of two that take it at the same moment one has it."""
    clock = Clock(0.0)
    one, other = lease(server, clock), lease(server, clock)
    one.take()
    server.race = True
    assert not one.take()
    assert not one.held
    server.race = False
    clock.now += 1
    assert one.take()
    assert not other.take()


def test_created_by_another(server: ApiServer) -> None:
    """Who finds none and is too late to make it does not have it."""
    clock = Clock(0.0)
    other = lease(server, clock)
    first = lease(server, clock)
    make = first._create
    first._create = lambda: (other.take(), make())[1]  # type: ignore[method-assign]  # in between

    assert not first.take()
    assert other.held


def test_unreachable(server: ApiServer) -> None:
    """While the API server is away it stays held until shortly before it runs out, and no longer."""
    clock = Clock(0.0)
    one = lease(server, clock)
    one.take()
    server.fault = 500
    clock.now = LASTS - MARGIN - 1
    assert one.take()
    clock.now = LASTS - MARGIN
    assert not one.take()
    server.fault = 0
    assert one.take()


def test_forbidden(server: ApiServer, caplog: pytest.LogCaptureFixture) -> None:
    """Without the right to it nothing is scaled, and what is missing is said."""
    server.fault = 403

    assert not lease(server, Clock(0.0)).take()
    assert "get, create and update of leases" in caplog.text


def test_given_back(server: ApiServer) -> None:
    """Who ends in order leaves it to the next at once; who does not have it changes nothing."""
    clock = Clock(0.0)
    one, other = lease(server, clock), lease(server, clock)
    one.take()
    other.take()
    other.close()
    assert one.identity == spec(server)["holderIdentity"]
    one.close()

    assert not one.held
    assert other.take()


def test_two_scalers(server: ApiServer, tmp_path: Path) -> None:
    """Two scalers with folders of their own: one writes replicas, the other nothing, until it has the lease."""
    clock = Clock(0.0)
    made = []
    for name in ("one", "other"):
        target = Cluster("deployment", "images", "shop", server.api)
        assert isinstance(target, Leased)
        scaling = scaler(tmp_path / name, [BUSY], target=target)
        cluster = target.lease(15.0)
        assert isinstance(cluster, ClusterLease)
        cluster._clock = clock
        scaling.lease = Both(Lease(tmp_path / name), cluster)
        made.append(scaling)
        scaling.lease.take()
    first, second = made[0].step(), made[1].step()
    written = [body for verb, _, body in server.asked if verb == "PATCH"]
    made[0].lease.close()
    third = made[1].step()

    assert first is not None
    assert (None, 1) == (second, len(written))
    assert third is not None
    assert "nothing to do" == third["result"]
