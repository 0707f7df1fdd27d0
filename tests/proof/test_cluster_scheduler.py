"""Where the pods of deploy/kubernetes go, and which may be evicted, by the real scheduler and its API."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.alerting import free_port
from support.controlplane import DEPLOY, VARIABLE, ControlPlane, Kubelet, Object, assets
from support.server import eventually


pytestmark = pytest.mark.proof
SPACE = "/api/v1/namespaces/images"
SHOP = "/apis/apps/v1/namespaces/images/deployments/zimage"
NODES = ("gpu-1", "gpu-2")
HAS = {"cpu": "16", "memory": "128Gi", "pods": "50", "nvidia.com/gpu": "1"}
"""What each node has: a GPU for one replica."""


def pods(control: ControlPlane, name: str) -> list[Object]:
    """List the pods of a workload that stay."""
    found: list[Object] = control.get(f"{SPACE}/pods?labelSelector=app.kubernetes.io/name%3D{name}")["items"]  # fmt: skip
    return [one for one in found if "deletionTimestamp" not in one["metadata"]]


def volume(number: int) -> Object:
    """Make a volume for one of the claims."""
    spec = {"capacity": {"storage": "60Gi"}, "accessModes": ["ReadWriteOnce", "ReadWriteMany"], "hostPath": {"path": "/none"}, "persistentVolumeReclaimPolicy": "Delete"}  # fmt: skip
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": f"volume-{number}"}, "spec": spec}  # fmt: skip


@pytest.fixture(scope="module")
def overlay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane of this proof's own with the overlay `one-gpu`: what lay about would be placed too."""
    with ControlPlane(tmp_path_factory.mktemp("nodes"), assets()) as control:
        control.install()
        assert [] == control.apply("-k", DEPLOY / "overlays/one-gpu")
        yield control


@pytest.fixture(scope="module")
def nodes(overlay: ControlPlane) -> Iterator[ControlPlane]:
    """Two nodes with a GPU each, volumes for all claims, and the scheduler."""
    if not (overlay.programs / "kube-scheduler").exists():
        pytest.skip(f"{VARIABLE} has no kube-scheduler")
    made = [{"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}} for name in NODES]  # fmt: skip
    assert [] == overlay.apply("-f", "-", given=[*made, *map(volume, range(6))])
    for name in NODES:
        overlay.patch(f"/api/v1/nodes/{name}/status", {"status": {"capacity": HAS, "allocatable": HAS, "conditions": [{"type": "Ready", "status": "True"}]}})  # fmt: skip
    overlay.patch(SHOP, {"spec": {"replicas": 3}})
    gone = overlay.kubectl(
        "-n", "images", "delete", "pods", "--all"
    )  # some are said to run already
    assert 0 == gone.returncode, gone.stderr
    overlay.start("kube-scheduler", f"--kubeconfig={overlay.admin}", "--leader-elect=false", "--bind-address=127.0.0.1", f"--secure-port={free_port()}", f"--authentication-kubeconfig={overlay.admin}", f"--authorization-kubeconfig={overlay.admin}")  # fmt: skip
    try:
        yield overlay
    finally:
        overlay.stop("kube-scheduler")
        overlay.patch(SHOP, {"spec": {"replicas": 1}})
        overlay.kubectl("delete", "nodes", *NODES)


def test_placed(nodes: ControlPlane) -> None:
    """A replica goes to each GPU, one more waits and says for what; the two gateways lie apart."""

    def places(name: str) -> list[str]:
        return sorted(one["spec"].get("nodeName", "") for one in pods(nodes, name))

    assert eventually(lambda: places("zimage") == ["", *NODES], 60), nodes.log("kube-scheduler")
    assert eventually(lambda: places("images") == [*NODES], 60), nodes.log("kube-scheduler")
    waiting = next(one for one in pods(nodes, "zimage") if "nodeName" not in one["spec"])
    said = next(one for one in waiting["status"]["conditions"] if one["type"] == "PodScheduled")
    assert "2 Insufficient nvidia.com/gpu" in said["message"]


def test_evicted(overlay: ControlPlane) -> None:
    """A drained node takes one gateway; the second stays until another is ready."""
    budget = "/apis/policy/v1/namespaces/images/poddisruptionbudgets/images"

    def evict(pod: Object) -> int:
        name = pod["metadata"]["name"]
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": "images"}}  # fmt: skip
        return overlay.client.post(f"{SPACE}/pods/{name}/eviction", json=body).status_code

    with Kubelet(overlay, "images", after=4):
        assert eventually(lambda: overlay.get(budget)["status"]["disruptionsAllowed"] == 1, 60)
        first, second = pods(overlay, "images")
        assert (201, 429) == (evict(first), evict(second))
        assert eventually(lambda: evict(second) == 201, 60)
