"""A Deployment or StatefulSet of a Kubernetes cluster, through its scale subresource.

The only file that imports the Kubernetes client (the extra ``kubernetes``). Rights: ``get`` and
``patch`` of ``deployments/scale``, ``get`` of ``deployments/status``, ``list`` of
``horizontalpodautoscalers`` (and of KEDA's ``scaledobjects``, where there are any), in one
namespace; for its Lease see `alerts.scale.clusterlease`.
https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/deployment-v1/
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import urllib3
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException

from alerts.scale.checks import Right
from alerts.scale.clusterlease import ClusterLease
from alerts.scale.fleet import Fleet, of_status
from alerts.scale.manifests import lease_name
from lightmeter.catalog import TargetAnswer
from lightmeter.errors import SettingError, TargetError


Kind = Literal["deployment", "statefulset"]
T = TypeVar("T")
MANAGER = "lightmeter"
SECONDS = 8.0
"""For one count or one order with all that it asks: less than the Lease's `MARGIN`, so that an order
is either written while the Lease is ours or not at all, and the next decision need not wait longer."""
_KINDS = {"deployment": "Deployment", "statefulset": "StatefulSet"}
_SAYS = {
    401: "the cluster does not know this token; is the service account's token mounted?",
    403: "this service account may not; it needs get and patch of {kind}s/scale, get of {kind}s/status and list of horizontalpodautoscalers",
    404: "it does not exist in this namespace",
    409: "somebody else changed it at the same moment; the next look decides anew",
    429: "the API server is busy; the next look {after}tries again",
}
_NOT_FOUND, _BUSY = 404, 429
LONGEST_QUIET = 300.0
"""However long the API server asks for."""
LEASE_SECONDS = 60.0
"""At least: a look takes up to half of it where nobody answers."""


class Cluster:
    """Scales one object; refuses while an HPA or a ScaledObject owns it."""

    def __init__(self, kind: Kind, namespace: str, name: str, api: Any) -> None:
        """Scale with ``api``, the client's ApiClient."""
        self.name = f"{kind}:{namespace}/{name}"
        self._kind, self._namespace, self._object = kind, namespace, name
        self._apps = client.AppsV1Api(api)
        self._autoscaling = client.AutoscalingV2Api(api)
        self._custom = client.CustomObjectsApi(api)
        self._api, self._clock = api, time.monotonic
        self._quiet_until = float("-inf")

    def lease(self, interval: float) -> ClusterLease:
        """Make the Lease by which one of several scalers of this object is chosen."""
        place = self._namespace, lease_name(self._kind, self._object)
        return ClusterLease(place, self._api, lasts=max(LEASE_SECONDS, 4 * interval))

    def fleet(self) -> Fleet:
        """Count replicas that are ready, and those that are asked for and not ready."""
        found = self._do(self._end(), lambda left: self._read("status", left))
        ready = found.status.ready_replicas or 0
        return Fleet(ready, max(0, (found.spec.replicas or 0) - ready))

    def scale(self, to: int) -> str:
        """Set ``spec.replicas``, unless the object has changed since it was read."""
        end = self._end()
        owner = self._owner(end)
        if owner:
            raise TargetError(f"{self.name} is scaled by {owner} already; delete that, or let it follow our gauge of desired replicas", TargetAnswer.OWNED)  # fmt: skip
        before = self._do(end, lambda left: self._read("scale", left))
        if before.spec.replicas == to:
            return f"{to} were asked for already"
        body = {"metadata": {"resourceVersion": before.metadata.resource_version}, "spec": {"replicas": to}}  # fmt: skip
        self._do(end, lambda left: self._patch(body, left))
        return f"spec.replicas {before.spec.replicas} to {to}"

    def may(self, right: Right) -> bool:
        """Ask the API server whether it would let us do something here; everybody may ask that.

        It is asked for the object by name, as a Role may name the one Deployment and the one Lease.
        https://kubernetes.io/docs/reference/access-authn-authz/authorization/
        """
        names = {f"{self._kind}s": self._object, "leases": lease_name(self._kind, self._object)}
        name = None if right.verb == "create" else names.get(right.resource)
        asked = client.V1ResourceAttributes(namespace=self._namespace, name=name, verb=right.verb, group=right.group, resource=right.resource, subresource=right.part or None)  # fmt: skip
        review = client.V1SelfSubjectAccessReview(spec=client.V1SelfSubjectAccessReviewSpec(resource_attributes=asked))  # fmt: skip
        reviews = client.AuthorizationV1Api(self._api)
        answer = self._do(self._end(), lambda left: reviews.create_self_subject_access_review(review, _request_timeout=left))  # fmt: skip
        return bool(answer.status.allowed)

    def _end(self) -> float:
        return self._clock() + SECONDS

    def _read(self, part: str, left: float) -> Any:
        call = getattr(self._apps, f"read_namespaced_{self._stem}_{part}")
        return call(self._object, self._namespace, _request_timeout=left)

    def _patch(self, body: dict[str, Any], left: float) -> Any:
        call = getattr(self._apps, f"patch_namespaced_{self._stem}_scale")
        return call(self._object, self._namespace, body, field_manager=MANAGER, _request_timeout=left)  # fmt: skip

    @property
    def _stem(self) -> str:
        return {"deployment": "deployment", "statefulset": "stateful_set"}[self._kind]

    def _owner(self, end: float) -> str:
        """Name whoever else writes the number of replicas."""
        found = self._do(end, lambda left: self._autoscaling.list_namespaced_horizontal_pod_autoscaler(self._namespace, _request_timeout=left))  # fmt: skip
        for hpa in found.items:
            if self._is_it(hpa.spec.scale_target_ref.kind, hpa.spec.scale_target_ref.name):
                return f"the HorizontalPodAutoscaler {hpa.metadata.name!r}"
        for one in self._scaled_objects(end):
            target = one.get("spec", {}).get("scaleTargetRef", {})
            if self._is_it(target.get("kind", "Deployment"), target.get("name")):
                return f"KEDA's ScaledObject {one['metadata']['name']!r}"
        return ""

    def _scaled_objects(self, end: float) -> list[dict[str, Any]]:
        def listed(left: float) -> Any:
            return self._custom.list_namespaced_custom_object("keda.sh", "v1alpha1", self._namespace, "scaledobjects", _request_timeout=left)  # fmt: skip

        try:
            found: list[dict[str, Any]] = self._do(end, listed)["items"]
        except TargetError as error:
            if isinstance(error.__cause__, ApiException) and error.__cause__.status == _NOT_FOUND:
                return []  # there is no KEDA in this cluster
            raise
        return found

    def _is_it(self, kind: str | None, name: str | None) -> bool:
        return (kind, name) == (_KINDS[self._kind], self._object)

    def _do(self, end: float, call: Callable[[float], T]) -> T:
        """Ask the API server, unless it asked for quiet or there is no time left; turn what it refuses into one line."""
        quiet = self._quiet_until - self._clock()
        if quiet > 0:
            raise TargetError(f"{self.name}: {_SAYS[_BUSY].format(after=_after(quiet))}", TargetAnswer.BUSY)  # fmt: skip
        left = end - self._clock()
        if left <= 0:
            raise TargetError(f"{self.name}: the API server took longer than {SECONDS:g} s; the next look tries again", TargetAnswer.TIMEOUT)  # fmt: skip
        try:
            return call(left)
        except ApiException as error:
            wait = _retry_after(error)
            self._quiet_until = self._clock() + wait
            said = _SAYS.get(error.status or 0, f"the API server answered {error.status} {error.reason}")  # fmt: skip
            raise TargetError(
                f"{self.name}: {said.format(kind=self._kind, after=_after(wait))}",
                of_status(error.status or 0),
            ) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            late = isinstance(error, urllib3.exceptions.TimeoutError | TimeoutError)
            raise TargetError(f"{self.name}: the API server cannot be reached: {error}", TargetAnswer.TIMEOUT if late else TargetAnswer.UNREACHABLE) from error  # fmt: skip


def _after(wait: float) -> str:
    return f"after the {wait:.0f} s that it asks for " if wait else ""


def _retry_after(error: ApiException) -> float:
    """Read how long the API server asks for quiet, seconds; only a busy one does."""
    said = (error.headers or {}).get("Retry-After", "")
    if error.status not in (_BUSY, 503) or not said.isdecimal():
        return 0.0
    return min(float(said), LONGEST_QUIET)


def parse(kind: Kind, place: str) -> Cluster:
    """Make the target that ``NAMESPACE/NAME`` means, with the cluster this process is in, or kubectl's.

    Raises:
        SettingError: the text is not understood, or there is no cluster.
    """
    namespace, _, name = place.partition("/")
    if not namespace or not name or "/" in name:
        raise SettingError(f"target '{kind}:{place}' is not understood; write it like {kind}:NAMESPACE/NAME")  # fmt: skip
    return Cluster(kind, namespace, name, _api())


def _api() -> Any:
    try:
        config.load_incluster_config()
    except ConfigException:
        try:
            config.load_kube_config()
        except ConfigException as error:
            raise SettingError(f"there is no cluster: neither a service account here nor a kubectl configuration ({error}); name one in KUBECONFIG") from error  # fmt: skip
    settled = client.Configuration.get_default_copy()
    settled.retries = False
    return client.ApiClient(settled)
