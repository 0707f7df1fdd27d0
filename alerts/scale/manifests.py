"""What a Kubernetes cluster is told so that the scaler, KEDA or an HPA scales a workload. Pure."""

from __future__ import annotations

from typing import Any

from alerts.promql import series, total
from lightmeter import catalog
from lightmeter.scaling.state import Settings


FRESH_SECONDS = Settings().max_age
"""A number that rests on older readings is not handed on; the HPA holds meanwhile."""
STUCK = "3m"
"""A scaler that decided nothing for so long is not believed; at 15 s a look that is twelve."""
WINDOW = {"stabilizationWindowSeconds": 0}
"""The decision has its holds; a second one behind it would only be late."""


def lease_name(kind: str, name: str) -> str:
    """Name the Lease by which one scaler of a workload is chosen."""
    return f"lightmeter-{kind}-{name}"


def rights(name: str, namespace: str, account: str = "lightmeter") -> list[dict[str, Any]]:
    """Make the Role and RoleBinding of a scaler that scales a Deployment by itself."""
    rules = [
        _rule("apps", ["deployments/scale"], ["get", "patch"]),
        _rule("apps", ["deployments/status"], ["get"]),
        _rule("autoscaling", ["horizontalpodautoscalers"], ["list"]),
        _rule("keda.sh", ["scaledobjects"], ["list"]),
        _rule("coordination.k8s.io", ["leases"], ["get", "create", "update"]),
    ]
    api = "rbac.authorization.k8s.io"
    meta = {"name": f"{name}-scaler", "namespace": namespace}
    subject = {"kind": "ServiceAccount", "name": account, "namespace": namespace}
    return [
        {"apiVersion": f"{api}/v1", "kind": "Role", "metadata": meta, "rules": rules},
        {"apiVersion": f"{api}/v1", "kind": "RoleBinding", "metadata": meta, "subjects": [subject], "roleRef": {"apiGroup": api, "kind": "Role", "name": meta["name"]}},
    ]  # fmt: skip


def _rule(group: str, resources: list[str], verbs: list[str]) -> dict[str, Any]:
    return {"apiGroups": [group], "resources": resources, "verbs": verbs}


def scaled_object(name: str, namespace: str, service: str, address: str) -> dict[str, Any]:
    """Make KEDA's object: it asks the scaler at ``address``, and is told at once of a wake."""
    fallback = {"failureThreshold": 3, "replicas": 1, "behavior": "currentReplicasIfHigher"}
    trigger = {
        "type": "external-push",
        "metadata": {"scalerAddress": address, "service": service, "target": f"deployment:{namespace}/{name}"},
        "authenticationRef": {"name": f"{name}-scaler"},
    }  # fmt: skip
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "scaleTargetRef": {"name": name},
            "minReplicaCount": 0,
            "maxReplicaCount": Settings().most,
            "pollingInterval": 15,
            "cooldownPeriod": 0,
            "fallback": fallback,
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": {"scaleDown": WINDOW}}},
            "triggers": [trigger],
        },
    }


def authentication(name: str, namespace: str) -> dict[str, Any]:
    """Make KEDA's TriggerAuthentication: its certificate, from the secret ``NAME-scaler``."""
    keys = {"caCert": "ca.crt", "tlsClientCert": "tls.crt", "tlsClientKey": "tls.key"}
    secrets = [
        {"parameter": ours, "name": f"{name}-scaler", "key": key} for ours, key in keys.items()
    ]
    meta = {"name": f"{name}-scaler", "namespace": namespace}
    return {"apiVersion": "keda.sh/v1alpha1", "kind": "TriggerAuthentication", "metadata": meta, "spec": {"secretTargetRef": secrets}}  # fmt: skip


def expression(target: str) -> str:
    """Say what is wanted, in PromQL: no value where readings are old, or nothing is decided."""
    of = {"target": target}
    wanted = f"max by (target) ({series(catalog.DESIRED_REPLICAS, **of)})"
    fresh = f"(max by (target) ({series(catalog.SIGNAL_AGE, **of)}) <= {FRESH_SECONDS:g})"
    alive = f"({total('target', f'increase({series(catalog.DECISIONS, **of)}[{STUCK}])')} > 0)"
    return f"{wanted} and {fresh} and {alive}"


def adapter(name: str, namespace: str) -> dict[str, Any]:
    """Make prometheus-adapter's rule: the external metric ``NAME-desired-replicas``."""
    target = f"deployment:{namespace}/{name}"
    rule = {
        "seriesQuery": series(catalog.DESIRED_REPLICAS, target=target),
        "resources": {"namespaced": False},
        "name": {"as": f"{name}-desired-replicas"},
        "metricsQuery": expression(target),
    }
    return {"externalRules": [rule]}


def hpa(name: str, namespace: str) -> dict[str, Any]:
    """Make the HPA that follows it: a replica for each that is wanted."""
    metric = {"name": f"{name}-desired-replicas"}
    wanted = {"type": "AverageValue", "averageValue": "1"}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "minReplicas": 1,
            "maxReplicas": Settings().most,
            "behavior": {"scaleDown": WINDOW, "scaleUp": WINDOW},
            "metrics": [{"type": "External", "external": {"metric": metric, "target": wanted}}],
        },
    }
