"""A Deployment as the target, on a stand-in for the API server that follows its documentation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from alerts.scale import cluster, clusterlease
from alerts.scale.cluster import Cluster
from lightmeter.catalog import TargetAnswer
from lightmeter.errors import SettingError, TargetError
from support.clock import Clock
from support.cluster import ApiServer
from support.scaling import BUSY, CALM, scaler


LIMIT = cluster.SECONDS
REF = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "shop"}


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer() as one:
        yield one


def shop(server: ApiServer) -> Cluster:
    return Cluster("deployment", "images", "shop", server.api)


def test_counted(server: ApiServer) -> None:
    """Replicas that are asked for and not ready are starting."""
    server.replicas, server.ready = 3, 1

    assert (1, 2, None) == shop(server).fleet()[:3]


def test_scaled(server: ApiServer) -> None:
    """The number is set once, with the version that was read, under our name."""
    target = shop(server)

    assert "spec.replicas 1 to 3" == target.scale(3)
    assert "3 were asked for already" == target.scale(3)
    writes = [one for one in server.asked if one[0] == "PATCH"]
    assert [{"metadata": {"resourceVersion": "7"}, "spec": {"replicas": 3}}] == [body for _, _, body in writes]  # fmt: skip
    assert "fieldManager=lightmeter" in writes[0][1]


def test_race(server: ApiServer) -> None:
    """Where somebody writes in between, nothing is overwritten."""
    server.race = True

    with pytest.raises(TargetError, match="somebody else changed it"):
        shop(server).scale(3)
    assert 1 == server.replicas


def test_hpa(server: ApiServer) -> None:
    """An HPA on the same target is a second writer, and we refuse; one on another is not."""
    server.hpas = [{"metadata": {"name": "old"}, "spec": {"maxReplicas": 3, "scaleTargetRef": REF}}]

    with pytest.raises(TargetError, match="HorizontalPodAutoscaler 'old'") as caught:
        shop(server).scale(3)
    assert TargetAnswer.OWNED == caught.value.answer
    server.hpas[0]["spec"]["scaleTargetRef"] = REF | {"name": "other"}
    assert "spec.replicas 1 to 3" == shop(server).scale(3)


def test_keda(server: ApiServer) -> None:
    """So is a ScaledObject of KEDA's, whose target is a Deployment where it does not say."""
    server.scaled = [{"metadata": {"name": "queue"}, "spec": {"scaleTargetRef": {"name": "shop"}}}]

    with pytest.raises(TargetError, match="ScaledObject 'queue'"):
        shop(server).scale(3)
    assert [] == [one for one in server.asked if one[0] == "PATCH"]


@pytest.mark.parametrize(
    ("status", "answer", "said"),
    [
        (401, TargetAnswer.FORBIDDEN, "does not know this token"),
        (403, TargetAnswer.FORBIDDEN, "needs get and patch of deployments/scale"),
        (404, TargetAnswer.NOT_FOUND, "it does not exist"),
        (409, TargetAnswer.CONFLICT, "the next look decides anew"),
        (429, TargetAnswer.BUSY, "the next look tries again"),
        (500, TargetAnswer.FAILED, "answered 500"),
    ],
)
def test_faults(server: ApiServer, status: int, answer: TargetAnswer, said: str) -> None:
    """What the API server refuses is one line that says what to do."""
    server.fault = status
    for work in (lambda: shop(server).fleet(), lambda: shop(server).scale(2)):
        with pytest.raises(TargetError, match=said) as caught:
            work()
        assert "\n" not in str(caught.value)
        assert answer == caught.value.answer


@pytest.mark.parametrize("status", [401, 403, 404, 409, 429, 500])
def test_refused_then_done(server: ApiServer, tmp_path: Path, status: int) -> None:
    """A write that is refused is in the decision's record, takes nothing with it, and is tried again."""
    one = scaler(tmp_path, [BUSY], target=shop(server))
    server.fault, server.fault_verb = status, "PATCH"
    refused = one.step()
    server.fault = 0
    done = one.step()

    assert refused is not None
    assert done is not None
    assert refused["result"].startswith("failed: deployment:images/shop: ")
    assert (1, refused["to"]) == (done["from"], done["to"])
    assert done["to"] == server.replicas


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500])
def test_unread(server: ApiServer, tmp_path: Path, status: int) -> None:
    """A workload that cannot be read is not one of no replicas: nothing is written, what was wanted stays."""
    one = scaler(tmp_path, [BUSY, CALM], target=shop(server))
    before = one.step()
    server.fault = status
    blind = one.step()
    writes = [verb for verb, _, _ in server.asked if verb == "PATCH"]

    assert before is not None
    assert blind is not None
    assert (before["to"], "hold", 1) == (blind["to"], blind["action"], len(writes))


def test_quiet(server: ApiServer) -> None:
    """A busy API server is left alone for as long as it asks, up to a bound, and then asked again."""
    target, clock = shop(server), Clock(0.0)
    target._clock = clock
    server.fault, server.retry_after = 429, "30"
    with pytest.raises(TargetError, match="the next look after the 30 s that it asks for"):
        target.fleet()
    server.fault = 0
    asked = len(server.asked)
    clock.now = 29.0
    with pytest.raises(TargetError, match="after the 1 s"):
        target.scale(2)
    assert asked == len(server.asked)
    clock.now = 30.0
    assert (1, 0, None) == target.fleet()[:3]
    server.fault, server.retry_after = 429, "99999999"
    with pytest.raises(TargetError, match="after the 300 s"):
        target.fleet()


def test_slow(server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """An API server that does not answer is not waited for."""
    monkeypatch.setattr(cluster, "SECONDS", 0.1)
    server.delay = 1.0

    with pytest.raises(TargetError, match="cannot be reached") as caught:
        shop(server).fleet()
    assert TargetAnswer.TIMEOUT == caught.value.answer


def test_slow_order(server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many questions an order takes, it is given up in a bounded time, and nothing is written late."""
    monkeypatch.setattr(cluster, "SECONDS", 0.5)
    server.delay = 0.2

    with pytest.raises(TargetError, match=r"cannot be reached|took longer than"):
        shop(server).scale(3)
    assert 1 == server.replicas
    assert LIMIT < clusterlease.MARGIN


def test_written_wrongly() -> None:
    """A target without its namespace is told how it is written."""
    with pytest.raises(SettingError, match="deployment:NAMESPACE/NAME"):
        cluster.parse("deployment", "shop")


def test_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no cluster, that is said."""
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    with pytest.raises(SettingError, match="there is no cluster"):
        cluster.parse("deployment", "images/shop")
