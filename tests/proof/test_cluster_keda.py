"""KEDA's own programs on a real Kubernetes API server, asking our scaler: none, many, none again."""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from support.alerting import free_port
from support.certs import Authority
from support.controlplane import DEPLOY, ControlPlane, Kubelet, Object
from support.copies import Copy
from support.promapi import Api
from support.server import eventually


pytestmark = [pytest.mark.proof, pytest.mark.timeout(400)]
VARIABLE = "KEDA_ASSETS"
SHOP = "/apis/apps/v1/namespaces/images/deployments/zimage"
HPA = "/apis/autoscaling/v2/namespaces/images/horizontalpodautoscalers/keda-hpa-zimage"
OBJECT = "/apis/keda.sh/v1alpha1/namespaces/images/scaledobjects/zimage"
MOST = 4
LEFT_OUT = {"Deployment", "Service", "APIService", "ValidatingWebhookConfiguration"}
"""Of KEDA's manifest: there are no nodes to run on, and the address is another."""
NAME = "keda-metrics-apiserver.keda.svc"


def assets() -> Path:
    """Return the folder with KEDA's programs and the manifest of the same release; skip where there is none."""
    said = os.environ.get(VARIABLE)
    names = ("keda", "keda-adapter", "keda.yaml")
    if not said or not all((Path(said) / name).exists() for name in names):
        pytest.skip(f"{VARIABLE} names no folder with {', '.join(names)}")
    return Path(said)


@pytest.fixture(scope="module")
def operator(overlay: ControlPlane) -> Iterator[ControlPlane]:
    """KEDA's operator and its server of external metrics, with the rights that its manifest gives them."""
    programs, folder = assets(), overlay.folder / "certs"
    given = [one for one in yaml.safe_load_all((programs / "keda.yaml").read_text()) if one["kind"] not in LEFT_OUT]  # fmt: skip
    assert [] == overlay.apply("--server-side", "--force-conflicts", "-f", "-", given=given)
    folder.mkdir()
    overlay.authority.issue("keda", f"IP:127.0.0.1,DNS:localhost,DNS:{NAME}")
    for ours, theirs in (("ca.crt", "ca.crt"), ("keda.crt", "tls.crt"), ("keda.key", "tls.key")):
        shutil.copy(overlay.folder / ours, folder / theirs)
    metrics, port = free_port(), free_port()
    account = overlay.account("keda", "keda-operator")
    variables = {"KUBECONFIG": str(account), "POD_NAMESPACE": "keda", "KEDA_CLUSTER_OBJECT_NAMESPACE": "keda", "WATCH_NAMESPACE": ""}  # fmt: skip
    overlay.start("keda", f"--cert-dir={folder}", f"--metrics-service-bind-address=127.0.0.1:{metrics}", f"--metrics-bind-address=127.0.0.1:{free_port()}", f"--health-probe-bind-address=127.0.0.1:{free_port()}", "--enable-webhook-patching=false", "--enable-apiservice-patching=false", program=programs / "keda", **variables)  # fmt: skip
    overlay.start("keda-adapter", f"--secure-port={port}", "--bind-address=127.0.0.1", f"--port={free_port()}", f"--metrics-service-address=127.0.0.1:{metrics}", f"--cert-dir={folder}", f"--client-ca-file={folder}/ca.crt", f"--tls-cert-file={folder}/tls.crt", f"--tls-private-key-file={folder}/tls.key", f"--lister-kubeconfig={account}", f"--authentication-kubeconfig={account}", f"--authorization-kubeconfig={account}", program=programs / "keda-adapter", **variables)  # fmt: skip
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "keda-metrics-apiserver", "namespace": "keda"}, "spec": {"type": "ExternalName", "externalName": "localhost"}}  # fmt: skip
    authority = base64.b64encode((folder / "ca.crt").read_bytes()).decode()
    api = {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": "v1beta1.external.metrics.k8s.io"}, "spec": {"group": "external.metrics.k8s.io", "version": "v1beta1", "groupPriorityMinimum": 100, "versionPriority": 100, "caBundle": authority, "service": {"name": "keda-metrics-apiserver", "namespace": "keda", "port": port}}}  # fmt: skip
    assert [] == overlay.apply("-f", "-", given=[service, api])
    try:
        yield overlay
    finally:
        overlay.stop("keda-adapter")
        overlay.stop("keda")


def manifests(control: ControlPlane, port: int) -> list[Object]:
    """Render the objects for KEDA, as deploy/kubernetes has them but for the scaler's address."""
    ran = control.kubectl("kustomize", str(DEPLOY / "overlays/keda"))
    found = [one for one in yaml.safe_load_all(ran.stdout) if one["apiVersion"].startswith("keda.sh/")]  # fmt: skip
    made = next(one for one in found if one["kind"] == "ScaledObject")
    made["spec"]["triggers"][0]["metadata"]["scalerAddress"] = f"127.0.0.1:{port}"
    return found


def secret(authority: Authority) -> Object:
    """Make KEDA's secret as docs tell: the authority, its certificate and its key."""
    names = {"ca.crt": "ca.crt", "tls.crt": "client.crt", "tls.key": "client.key"}
    data = {key: base64.b64encode((authority.folder / name).read_bytes()).decode() for key, name in names.items()}  # fmt: skip
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "zimage-scaler", "namespace": "images"}, "data": data}  # fmt: skip


def test_from_none_and_back(operator: ControlPlane, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:  # fmt: skip
    """Who comes while nothing runs has a replica ordered at once; a crowd has more; nobody has none.

    And whoever is blind takes nothing away: the scaler without readings, and KEDA without the scaler.
    """
    authority, port, source = Authority(tmp_path), free_port(), Api()
    authority.issue("scaler")
    authority.issue("client")
    tls = ("--tls-cert-file", str(tmp_path / "scaler.crt"), "--tls-key-file", str(tmp_path / "scaler.key"), "--client-ca-file", str(tmp_path / "ca.crt"))  # fmt: skip
    options = ("--keda-port", str(port), *tls, "--min", "0", "--max-age", "5")
    account = operator.account("images", "zimage-scaler")

    def replicas() -> int:
        return int(operator.get(SHOP)["spec"]["replicas"])

    def health() -> Object:
        found: Object = operator.get(OBJECT)["status"]["health"]["s0-zimage-desired-replicas"]
        return found

    source.value = "0"
    operator.patch(SHOP, {"spec": {"replicas": 1}})
    with Kubelet(operator, "images"), contextlib.closing(source):
        with Copy(tmp_path / "a", account, source, *options, act=False) as scaler:
            made = operator.apply("-f", "-", given=[secret(authority), *manifests(operator, port)])
            assert [] == made
            assert eventually(lambda: replicas() == 0, 60), operator.log("keda") + scaler.log
            source.value = "9"
            assert eventually(lambda: replicas() > 0), operator.log("keda") + scaler.log
            woken = time.time()
            assert eventually(lambda: replicas() == MOST), operator.get(HPA)
            grown = time.time()
            first = next(one["at"] for one in scaler.decisions if one["to"])
            record_property("seconds from the decision to KEDA's first replica", round(woken - first, 2))  # fmt: skip
            record_property("seconds from the decision to all that the HPA orders", round(grown - first, 2))  # fmt: skip
            source.status = 500
            assert eventually(lambda: health()["numberOfFailures"] > 3, 90), operator.get(OBJECT)
            assert (MOST, "Failing") == (replicas(), health()["status"])
            source.status = 200
            assert eventually(lambda: health()["status"] == "Happy", 60), operator.get(OBJECT)
            scaler.process.kill()
            time.sleep(20)  # longer than KEDA's polling interval
            assert MOST == replicas()
        source.value = "0"
        with Copy(tmp_path / "b", account, source, *options, act=False) as scaler:
            assert eventually(lambda: replicas() == 0, 120), operator.log("keda") + scaler.log
    assert {"advisory: nothing was done", "nothing to do"} >= {one["result"].partition(":")[0] if "nothing to do" in one["result"] else one["result"] for one in scaler.decisions}  # fmt: skip
    assert operator.client.delete(OBJECT).is_success
    assert eventually(lambda: operator.client.get(OBJECT).status_code == 404), operator.log("keda")
