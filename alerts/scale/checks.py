"""What the scaler needs of a Kubernetes cluster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from alerts.scale.manifests import rights
from lightmeter.doctor import Finding, Verdict
from lightmeter.errors import LightmeterError, OutsideError


ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds its service account.
https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/"""
KINDS = ("deployment", "statefulset")


class Right(NamedTuple):
    """Something that a service account may do, or not."""

    verb: str
    group: str
    resource: str
    part: str = ""

    def __str__(self) -> str:
        """Write it as the refusal of an API server would."""
        whole = f"{self.resource}/{self.part}" if self.part else self.resource
        return f"{self.verb} {whole}"


def needed(kind: str) -> Iterator[Right]:
    """List the rights of a scaler that scales a workload of that kind: those of its Role."""
    role, _ = rights("any", "any")
    for rule in role["rules"]:
        for resource in rule["resources"]:
            name, _, part = str(resource).replace("deployments", f"{kind}s").partition("/")
            for verb in rule["verbs"]:
                yield Right(verb, rule["apiGroups"][0], name, part)


def check_cluster(target: str, account: Path = ACCOUNT) -> Finding:
    """Ask a cluster whether we may scale a target, ``KIND:NAMESPACE/NAME``, and whether it is there.

    A target of another kind needs no cluster; whether this is a pod is said all the same.
    """
    kind, _, place = target.partition(":")
    if kind not in KINDS:
        try:
            inside = f"a pod in the namespace {(account / 'namespace').read_text().strip()}"
        except OSError:
            inside = "no pod"
        return Finding("Kubernetes", Verdict.OK, f"this is {inside}; the scaler's target needs no cluster")  # fmt: skip
    try:
        from alerts.scale.cluster import parse
    except ModuleNotFoundError:
        return Finding("Kubernetes", Verdict.FAIL, f"{target}: the client is not installed", "pip install 'lightmeter[kubernetes]'")  # fmt: skip
    try:
        found = parse("statefulset" if kind == "statefulset" else "deployment", place)
    except LightmeterError as error:
        return Finding("Kubernetes", Verdict.FAIL, str(error), "give --target, and run where kubectl would work")  # fmt: skip
    return judge_cluster(found, kind)


def judge_cluster(found: Any, kind: str) -> Finding:
    """Ask through a `Cluster` for each right that is needed, and for the workload."""
    try:
        lacking = [right for right in needed(kind) if not found.may(right)]
        if lacking:
            fix = "apply the Role that docs/scaling-kubernetes.md has, and bind it to this service account"
            return Finding("Kubernetes", Verdict.FAIL, f"{found.name}: we may not {', '.join(map(str, lacking))}", fix)  # fmt: skip
        fleet = found.fleet()
    except OutsideError as error:
        return Finding("Kubernetes", Verdict.FAIL, str(error), "mend that, and look again")
    return Finding("Kubernetes", Verdict.OK, f"{found.name}: {fleet.ready} ready, {fleet.starting} starting; all rights are there")  # fmt: skip
