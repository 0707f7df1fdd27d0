"""A real Kubernetes API server for proofs: etcd, kube-apiserver, kube-controller-manager and kubectl.

The programs come from the folder that ``KUBEBUILDER_ASSETS`` names, as controller-runtime's envtest
has it (https://book.kubebuilder.io/reference/envtest), with the operators' CustomResourceDefinitions
in ``crds/``. There are no nodes, so no pod ever runs; `Kubelet` says of each that it is ready.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
import yaml

from support.alerting import free_port
from support.certs import Authority
from support.server import eventually


VARIABLE = "KUBEBUILDER_ASSETS"
NEEDED = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl")
DEPLOY = Path(__file__).parents[2] / "deploy" / "kubernetes"
Object = dict[str, Any]


def assets() -> Path:
    """Return the folder with the programs; skip where there is none."""
    said = os.environ.get(VARIABLE)
    if not said:
        pytest.skip(f"{VARIABLE} names no folder with {', '.join(NEEDED)} (setup-envtest fetches most of them)")  # fmt: skip
    missing = [name for name in NEEDED if not (Path(said) / name).exists()]
    if missing:
        pytest.skip(f"{VARIABLE} is {said} and lacks {', '.join(missing)}")
    return Path(said)


class ControlPlane:
    """On free ports of 127.0.0.1, with a fresh store; `admin` may do everything."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.folder, self.programs = folder, programs
        self._etcd, peers, port = (free_port() for _ in range(3))
        self.address = f"https://127.0.0.1:{port}"
        self.authority = Authority(folder)
        self.authority.issue("server", "IP:127.0.0.1,DNS:kubernetes.default.svc")
        self.authority.issue("admin", organisation="system:masters")
        self.authority.issue("front")
        self.authority.issue("accounts")
        self.admin = self.kubeconfig("admin", {"client-certificate": str(folder / "admin.crt"), "client-key": str(folder / "admin.key")})  # fmt: skip
        self._peers, self._port = peers, port
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.client = httpx.Client(base_url=self.address, verify=self.authority.client("admin"), trust_env=False, timeout=30)  # fmt: skip

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self) -> None:
        self.start("etcd", f"--data-dir={self.folder}/etcd", f"--listen-client-urls=http://127.0.0.1:{self._etcd}", f"--advertise-client-urls=http://127.0.0.1:{self._etcd}", f"--listen-peer-urls=http://127.0.0.1:{self._peers}", "--unsafe-no-fsync")  # fmt: skip
        self.start_api()
        self.start("kube-controller-manager", f"--kubeconfig={self.admin}", f"--service-account-private-key-file={self.folder}/accounts.key", f"--root-ca-file={self.authority.certificate}", "--use-service-account-credentials", "--bind-address=127.0.0.1", f"--secure-port={free_port()}", "--leader-elect=false", "--horizontal-pod-autoscaler-sync-period=2s")  # fmt: skip

    def __exit__(self, *_: object) -> None:
        for name in reversed(list(self._running)):
            self.stop(name)
        self.client.close()

    def start(self, name: str, *arguments: str, program: Path | None = None, **environment: str) -> None:  # fmt: skip
        """Start one of the programs; what it says is in ``NAME.log``."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen([program or self.programs / name, *arguments], stdout=log, stderr=log, env={**os.environ, **environment})  # fmt: skip

    def stop(self, name: str, how: signal.Signals = signal.SIGTERM) -> None:
        """End one, and wait for that."""
        process = self._running.pop(name)
        process.send_signal(how)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def start_api(self) -> None:
        """Start the API server, or start it again; return once it is ready."""
        front = self.folder / "front"
        self.start(
            "kube-apiserver", f"--etcd-servers=http://127.0.0.1:{self._etcd}", "--bind-address=127.0.0.1", f"--secure-port={self._port}",
            f"--tls-cert-file={self.folder}/server.crt", f"--tls-private-key-file={self.folder}/server.key", f"--client-ca-file={self.authority.certificate}",
            f"--service-account-issuer={self.address}", f"--service-account-key-file={self.folder}/accounts.crt", f"--service-account-signing-key-file={self.folder}/accounts.key",
            "--authorization-mode=RBAC", "--service-cluster-ip-range=10.96.0.0/24", "--endpoint-reconciler-type=none",
            f"--requestheader-client-ca-file={self.authority.certificate}", "--requestheader-allowed-names=front", "--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group", "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"--proxy-client-cert-file={front}.crt", f"--proxy-client-key-file={front}.key",
        )  # fmt: skip
        assert eventually(self._answers, 60), self.log("kube-apiserver")

    def install(self) -> None:
        """Install the operators' resources from ``crds/``, our namespaces and that of the monitoring."""
        crds = self.programs / "crds"
        if crds.is_dir():
            assert [] == self.apply("--server-side", "-f", crds)
            ran = self.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")  # fmt: skip
            assert 0 == ran.returncode, ran.stderr
        assert [] == self.apply("-k", DEPLOY / "namespaces")
        assert [] == self.apply("-f", "-", given=[{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in ("monitoring", "keda")])  # fmt: skip

    def knows(self, group: str) -> bool:
        """Say whether there are resources of a group."""
        return self.client.get(f"/apis/{group}").is_success

    def log(self, name: str) -> str:
        """Return the end of what one said."""
        return (self.folder / f"{name}.log").read_text(errors="replace")[-3000:]

    def version(self) -> str:
        """Tell the API server's version."""
        return str(self.get("/version")["gitVersion"])

    def _answers(self) -> bool:
        try:
            return self.client.get("/readyz").is_success
        except httpx.TransportError:
            return False

    def get(self, path: str) -> Object:
        """Read an object or a list."""
        answer = self.client.get(path)
        assert answer.is_success, answer.text
        found: Object = answer.json()
        return found

    def patch(self, path: str, body: Object) -> Object:
        """Change an object, as a merge."""
        answer = self.client.patch(path, json=body, headers={"content-type": "application/merge-patch+json"})  # fmt: skip
        assert answer.is_success, answer.text
        found: Object = answer.json()
        return found

    def kubeconfig(self, name: str, user: Object) -> Path:
        """Write a kubectl configuration for a user."""
        path = self.folder / f"{name}.kubeconfig"
        one = {"cluster": name, "user": name}
        cluster = {"server": self.address, "certificate-authority": str(self.authority.certificate)}
        path.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", "current-context": name, "contexts": [{"name": name, "context": one}], "clusters": [{"name": name, "cluster": cluster}], "users": [{"name": name, "user": user}]}))  # fmt: skip
        return path

    def account(self, namespace: str, name: str) -> Path:
        """Write a kubectl configuration with a fresh token of a service account."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        answer = self.client.post(path, json={"spec": {"expirationSeconds": 3600}})
        assert answer.is_success, answer.text
        return self.kubeconfig(f"{namespace}-{name}", {"token": answer.json()["status"]["token"]})

    def kubectl(self, *arguments: str | Path, of: Path | None = None, given: Iterable[Object] = ()) -> subprocess.CompletedProcess[str]:  # fmt: skip
        """Run kubectl, as the admin or with the configuration ``of``, with objects to read from ``-f -``."""
        items = list(given)
        text = json.dumps(items[0] if len(items) == 1 else {"apiVersion": "v1", "kind": "List", "items": items})  # fmt: skip
        command = [self.programs / "kubectl", f"--kubeconfig={of or self.admin}", f"--cache-dir={self.folder}/cache", *arguments]  # fmt: skip
        return subprocess.run(command, check=False, capture_output=True, text=True, input=text, timeout=120)  # fmt: skip

    def denied(self, of: Path, *arguments: str) -> str:
        """Run kubectl as somebody who must not; return what the API server says."""
        ran = self.kubectl(*arguments, of=of)
        assert ran.returncode, f"{arguments} went through: {ran.stdout}"
        return ran.stderr

    def apply(self, *arguments: str | Path, given: Iterable[Object] = ()) -> list[str]:
        """Apply strictly, without anything being forced; return errors and warnings, one a line."""
        ran = self.kubectl("apply", "--validate=strict", *arguments, given=given)
        assert bool(ran.stderr) >= bool(ran.returncode)
        return ran.stderr.splitlines()


class Kubelet:
    """Says of every pod in a namespace that it is ready, `after` seconds since it was seen first."""

    def __init__(self, control: ControlPlane, namespace: str, after: float = 0.0) -> None:
        self._control, self._after = control, after
        self._path = f"/api/v1/namespaces/{namespace}/pods"
        self._first: dict[str, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.2):
            with contextlib.suppress(httpx.HTTPError):  # the API server may be away
                answer = self._control.client.get(self._path)
                for pod in answer.json()["items"] if answer.is_success else ():
                    self._see(pod)

    def _see(self, pod: Object) -> None:
        meta, now = pod["metadata"], time.monotonic()
        seen = self._first.setdefault(meta["uid"], now)
        if pod["status"].get("phase") == "Pending" and now - seen >= self._after:
            status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
            self._control.client.patch(f"{self._path}/{meta['name']}/status", json={"status": status}, headers={"content-type": "application/merge-patch+json"})  # fmt: skip
