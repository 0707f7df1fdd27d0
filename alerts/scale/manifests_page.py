"""The page of Kubernetes manifests: each as YAML, with what it is for. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from alerts.render import document
from alerts.scale import manifests


NAME, NAMESPACE, SERVICE = "shop", "images", "zimage"
ADDRESS = f"lightmeter-scaler.{NAMESPACE}:9403"


def page() -> str:
    """Write it, for a Deployment ``images/shop``."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield "# Scaling in Kubernetes\n"
    yield f"Three ways to scale the Deployment `{NAME}` in the namespace `{NAMESPACE}`; take one. In each the scaler of [Scaling](scaling.md#the-scaler) decides, and one writer changes `spec.replicas`.\n"
    yield "## The scaler writes\n"
    yield f"```console\n$ lightmeter scale --service {SERVICE} --target deployment:{NAMESPACE}/{NAME} --act\n```\n"
    yield f"Its rights; `leases` is for the Lease `{manifests.lease_name('deployment', NAME)}`, which one scaler holds. In the other two ways `get` of `deployments/status` is enough.\n"
    yield _yaml(*manifests.rights(NAME, NAMESPACE))
    yield "## KEDA writes\n"
    yield f"```console\n$ lightmeter scale --service {SERVICE} --target deployment:{NAMESPACE}/{NAME} --keda-port 9403\n```\n"
    yield "Without `--act`: KEDA and its HPA write, and the scaler answers them ([KEDA](scaling.md#keda)).\n"
    yield _yaml(manifests.scaled_object(NAME, NAMESPACE, SERVICE, ADDRESS), manifests.authentication(NAME, NAMESPACE))  # fmt: skip
    yield f"The second is for mutual TLS; the secret `{NAME}-scaler` holds the authority, KEDA's certificate and its key. Without TLS leave it and `authenticationRef` out.\n"
    yield "## An HPA writes\n"
    yield "Without KEDA, and with prometheus-adapter as the one that serves external metrics (a cluster can have one such). Prometheus scrapes the scaler. Its rule has no value, and so the HPA holds, while readings are old or nothing is decided:\n"
    yield _yaml(manifests.adapter(NAME, NAMESPACE))
    yield _yaml(manifests.hpa(NAME, NAMESPACE))
    yield "An HPA does not scale to zero unless the cluster has the feature gate `HPAScaleToZero`. From ten replicas on it leaves changes of a tenth or less alone (its tolerance); so it does behind KEDA."


def _yaml(*contents: dict[str, Any]) -> str:
    return "```yaml\n" + "---\n".join(document(one) for one in contents) + "```\n"
