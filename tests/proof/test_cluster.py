"""deploy/kubernetes on a real Kubernetes API server: what it takes, what it admits, who may do what."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.cli import lightmeter
from support.controlplane import DEPLOY, ControlPlane, Object
from support.server import eventually


pytestmark = pytest.mark.proof
FOLDERS = sorted(path.parent for path in DEPLOY.rglob("kustomization.yaml") if {"components", "base", "namespaces"}.isdisjoint(path.parts))  # fmt: skip
EACH = pytest.mark.parametrize("folder", FOLDERS, ids=[str(path.relative_to(DEPLOY)) for path in FOLDERS])  # fmt: skip
NEEDS = {"overlays/keda": "keda.sh", "monitoring": "monitoring.coreos.com"}
APPS = "/apis/apps/v1/namespaces"
BEYOND = 'host namespaces (hostPID=true), restricted volume types (volume "host" uses restricted volume type "hostPath")'
MADE = {"images": 2, "zimage": 1, "zimage-scaler": 2, "cost-report": 1}


@EACH
def test_taken(cluster: ControlPlane, folder: Path) -> None:
    """A folder is taken without an error or a warning, by the server's own apply and as docs tell."""
    group = NEEDS.get(str(folder.relative_to(DEPLOY)))
    if group and not cluster.knows(group):
        pytest.skip(f"crds/ has nothing of {group}")
    server = cluster.apply("--server-side", "--dry-run=server", "-k", folder)
    plain = cluster.apply("-k", folder)
    if folder.parent.name == "overlays":
        cluster.kubectl("delete", "--wait=false", "-k", folder)

    assert ([], []) == (server, plain)


def test_route(cluster: ControlPlane) -> None:
    """The route of the Gateway API is one that its API takes."""
    if not cluster.knows("gateway.networking.k8s.io"):
        pytest.skip("crds/ has nothing of gateway.networking.k8s.io")

    assert [] == cluster.apply("-f", DEPLOY.parent / "proxy/gateway-api.yaml")


def pods(cluster: ControlPlane, namespace: str = "images") -> list[Object]:
    """List the pods there are and stay, by the label that names what they are of."""
    found: list[Object] = cluster.get(f"/api/v1/namespaces/{namespace}/pods")["items"]
    return [one for one in found if "deletionTimestamp" not in one["metadata"]]


def test_admitted(overlay: ControlPlane) -> None:
    """Controllers make the pods of all workloads where only restricted ones are admitted."""
    ran = overlay.kubectl("-n", "images", "create", "job", "--from=cronjob/cost-report", "now")
    assert eventually(lambda: sum(MADE.values()) == len(pods(overlay)), 60)
    names = [one["metadata"]["labels"]["app.kubernetes.io/name"] for one in pods(overlay)]
    space = overlay.get("/api/v1/namespaces/images")["metadata"]["labels"]
    bare = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bare", "namespace": "images"}, "spec": {"containers": [{"name": "x", "image": "x"}]}}  # fmt: skip

    assert (0, "") == (ran.returncode, ran.stderr)
    assert {name: names.count(name) for name in names} == MADE
    assert "restricted" == space["pod-security.kubernetes.io/enforce"]
    assert any('violates PodSecurity "restricted:latest"' in line for line in overlay.apply("-f", "-", given=[bare]))  # fmt: skip


def test_again(overlay: ControlPlane) -> None:
    """Applied a second time nothing changes, and the scaler's number of replicas stays."""
    shop = f"{APPS}/images/deployments/zimage"
    overlay.patch(shop, {"spec": {"replicas": 3}})
    watched = (shop, f"{APPS}/images/deployments/images", f"{APPS}/images/statefulsets/zimage-scaler")  # fmt: skip
    before = [overlay.get(path)["metadata"]["generation"] for path in watched]
    said = overlay.apply("-k", DEPLOY / "overlays/one-gpu")
    after = [overlay.get(path)["metadata"]["generation"] for path in watched]
    left = overlay.patch(shop, {"spec": {"replicas": 1}})["metadata"]["generation"]

    assert ([], before, before[0] + 1) == (said, after, left)


def test_exporter(cluster: ControlPlane) -> None:
    """A node with a GPU gets an exporter, which goes beyond `restricted` in two things and no more."""
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "gpu-1", "labels": {"nvidia.com/gpu.present": "true"}}}  # fmt: skip
    assert [] == cluster.apply("-f", "-", given=[node])
    assert [] == cluster.apply("-k", DEPLOY / "exporter")
    try:
        made = eventually(lambda: 1 == len(pods(cluster, "lightmeter-system")), 60)
    finally:
        cluster.kubectl("delete", "node", "gpu-1")
    daemon = cluster.get(f"{APPS}/lightmeter-system/daemonsets/lightmeter-exporter")
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "exporter", "namespace": "images"}, "spec": {**daemon["spec"]["template"]["spec"], "priorityClassName": "", "serviceAccountName": "default"}}  # fmt: skip
    refused = " ".join(cluster.apply("-f", "-", given=[pod]))

    assert made
    assert BEYOND == refused.partition('"restricted:latest": ')[2]


def test_rights(overlay: ControlPlane) -> None:
    """The scaler's token reads and writes one scale and one Lease; all else is forbidden."""
    scaler = overlay.account("images", "zimage-scaler")

    def may(*words: str) -> bool:
        return overlay.kubectl("-n", "images", *words, of=scaler).returncode == 0

    assert may("get", "--raw", f"{APPS}/images/deployments/zimage/scale")
    assert may("scale", "deployment/zimage", "--replicas=2") is False  # it would read the whole object  # fmt: skip
    for words in FORBIDDEN:
        assert "forbidden" in overlay.denied(scaler, *words).lower(), words
    asked = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": "images"}}  # fmt: skip
    listed = overlay.kubectl("create", "--raw", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", "-f", "-", of=scaler, given=[asked])  # fmt: skip
    rules = json.loads(listed.stdout)["status"]["resourceRules"]
    everybodys = ("authorization.k8s.io", "authentication.k8s.io")
    own = [one for one in rules if not set(everybodys) & set(one["apiGroups"])]
    role = overlay.get("/apis/rbac.authorization.k8s.io/v1/namespaces/images/roles/zimage-scaler")
    told = json.loads(overlay.kubectl("auth", "whoami", "-o", "json", of=scaler).stdout)
    assert "system:serviceaccount:images:zimage-scaler" == told["status"]["userInfo"]["username"]
    assert sorted(map(str, map(sorted, map(dict.items, role["rules"])))) == sorted(map(str, map(sorted, map(dict.items, own))))  # fmt: skip


def test_doctor(overlay: ControlPlane, tmp_path: Path) -> None:
    """The doctor asks as the scaler would and finds its rights, though the Role names two objects alone."""
    scaler = str(overlay.account("images", "zimage-scaler"))
    well = diagnosed(tmp_path, "deployment:images/zimage", scaler)
    ill = diagnosed(tmp_path, "deployment:images/images", scaler)

    assert ("ok", True) == (well["verdict"], "all rights are there" in well["found"]), well
    assert ("fail", True) == (ill["verdict"], "we may not get deployments/scale, patch deployments/scale, get deployments/status, get leases, update leases" in ill["found"]), ill  # fmt: skip


def diagnosed(folder: Path, target: str, kubeconfig: str) -> Object:
    """Return what the doctor finds of a target in the cluster."""
    ran = lightmeter("doctor", "--json", cwd=folder, KUBECONFIG=kubeconfig, LIGHTMETER_SCALE_TARGET=target)  # fmt: skip
    found: Object = next(one for one in json.loads(ran.out) if one["what"] == "Kubernetes")  # fmt: skip
    return found


FORBIDDEN = (
    ("-n", "images", "get", "secrets"),
    ("-n", "images", "get", "secret", "zimage-keys"),
    ("-n", "images", "get", "pods"),
    ("-n", "images", "get", "deployments"),
    ("-n", "images", "get", "deployment", "images"),
    ("-n", "images", "delete", "deployment", "zimage"),
    ("-n", "images", "patch", "deployment", "zimage", "-p", '{"spec":{"replicas":9}}'),
    ("-n", "images", "get", "--raw", f"{APPS}/images/deployments/images/scale"),
    ("-n", "images", "delete", "lease", "lightmeter-deployment-zimage"),
    ("-n", "images", "get", "lease", "another"),
    ("-n", "images", "get", "leases"),
    ("-n", "default", "get", "leases"),
    ("-n", "lightmeter-system", "get", "pods"),
    ("get", "nodes"),
    ("get", "namespaces"),
)
