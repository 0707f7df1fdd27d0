"""``lightmeter scale`` on a real Kubernetes API server, with its own ServiceAccount's token."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from lightmeter import catalog
from lightmeter.catalog import TargetAnswer, TargetAsk
from support.controlplane import ControlPlane, Kubelet
from support.copies import Copy
from support.promapi import Api
from support.server import eventually


pytestmark = [pytest.mark.proof, pytest.mark.timeout(400)]
SHOP = "/apis/apps/v1/namespaces/images/deployments/zimage"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/images/leases/lightmeter-deployment-zimage"
BINDING = "/apis/rbac.authorization.k8s.io/v1/namespaces/images/rolebindings/zimage-scaler"
FORBIDDEN = f'{catalog.TARGET_ASKS.name}{{answer="{TargetAnswer.FORBIDDEN}",ask="{TargetAsk.COUNT}"'
MOST, LEAST = 4, 1


@pytest.fixture
def source() -> Iterator[Api]:
    """Says of every reading what the test says: `0` is nobody, `9` is a crowd."""
    made = Api()
    made.value = "0"
    yield made
    made.close()


@pytest.fixture
def shop(overlay: ControlPlane) -> Iterator[ControlPlane]:
    """The overlay with one replica of the server asked for, and pods that get ready in a second."""
    overlay.patch(SHOP, {"spec": {"replicas": LEAST}})
    with Kubelet(overlay, "images", after=1):
        yield overlay


def replicas(shop: ControlPlane) -> int:
    """Read how many are asked for."""
    return int(shop.get(SHOP)["spec"]["replicas"])


def follows(shop: ControlPlane, source: Api, value: str, to: int) -> float:
    """Show a demand; return when as many replicas were asked for, once they are ready as well."""
    source.value = value
    assert eventually(lambda: replicas(shop) == to, 60)
    asked = time.time()
    assert eventually(lambda: shop.get(SHOP)["status"].get("readyReplicas", 0) == to, 60)
    return asked


def test_two_copies(shop: ControlPlane, source: Api, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:  # fmt: skip
    """One of two acts; when it is killed the other takes over; each order is written once."""
    account = shop.account("images", "zimage-scaler")
    before = shop.get(SHOP)["metadata"]["generation"]
    with Copy(tmp_path / "a", account, source) as one, Copy(tmp_path / "b", account, source) as two:
        assert eventually(lambda: one.holds != two.holds), one.log + two.log
        first, second = (one, two) if one.holds else (two, one)
        asked = [follows(shop, source, value, to) for value, to in (("9", MOST), ("0", LEAST))]
        record_property("seconds from a decision to the patched scale", [round(at - one["at"], 3) for at, one in zip(asked, (first.orders[0], first.orders[-1]), strict=True)])  # fmt: skip
        assert not second.decisions
        first.process.kill()
        source.value, killed = "9", time.monotonic()
        assert eventually(lambda: second.holds, 120), second.log
        took = time.monotonic() - killed
        follows(shop, source, "9", MOST)
        record_property("seconds until the other took over", round(took, 1))
        lease = shop.get(LEASE)["spec"]

    orders = first.orders + second.orders
    assert {"up", "down"} == {one["action"] for one in orders}
    assert len(orders) == shop.get(SHOP)["metadata"]["generation"] - before
    assert lease["leaseDurationSeconds"] - 5 <= took <= 2 * lease["leaseDurationSeconds"]
    assert "takes lease images/lightmeter-deployment-zimage over" in second.log
    assert "" == shop.get(LEASE)["spec"]["holderIdentity"]


def test_api_away(shop: ControlPlane, source: Api, tmp_path: Path) -> None:
    """While the API server is away for 20 s decisions say so; when it is back the order is carried out."""
    with Copy(tmp_path / "a", shop.account("images", "zimage-scaler"), source) as scaler:
        assert eventually(lambda: scaler.holds)
        follows(shop, source, "0", LEAST)
        assert eventually(lambda: bool(scaler.decisions))
        shop.stop("kube-apiserver", signal.SIGKILL)
        source.value, known = "9", len(scaler.decisions)
        time.sleep(20)
        meanwhile = scaler.decisions[known:]
        shop.start_api()
        assert eventually(lambda: replicas(shop) == MOST, 60), scaler.log
        health = httpx.get(f"{scaler.url}/healthz", trust_env=False)

    assert {("hold", "stale")} == {(one["action"], one["chosen_term"]) for one in meanwhile}
    assert all("the API server cannot be reached" in one["result"] for one in meanwhile[1:])
    assert 200 == health.status_code
    assert "takes lease" not in scaler.log.partition("cannot be reached")[2]


def test_rights_away(shop: ControlPlane, source: Api, tmp_path: Path) -> None:
    """Without its rights it says which it lacks, changes nothing, and goes on when they are back."""
    binding = shop.get(BINDING)
    with Copy(tmp_path / "a", shop.account("images", "zimage-scaler"), source) as scaler:
        follows(shop, source, "0", LEAST)
        assert eventually(lambda: scaler.holds)
        assert shop.client.delete(BINDING).is_success
        known = len(scaler.decisions)
        source.value = "9"
        time.sleep(5)
        meanwhile = scaler.decisions[known:]
        stood = replicas(shop)
        metrics = httpx.get(f"{scaler.url}/metrics", trust_env=False).text
        body = {key: binding[key] for key in ("apiVersion", "kind", "roleRef", "subjects")} | {"metadata": {"name": "zimage-scaler"}}  # fmt: skip
        assert shop.client.post(BINDING.rpartition("/")[0], json=body).is_success
        assert eventually(lambda: replicas(shop) == MOST, 90), scaler.log

    assert LEAST == stood
    counted = next(line for line in metrics.splitlines() if line.startswith(FORBIDDEN))
    assert float(counted.split()[-1]) >= len(meanwhile) - 1
    assert "it needs get and patch of deployments/scale" in meanwhile[-1]["result"]
    assert "it needs get, create and update of leases" in scaler.log
