"""The manifests on the page: they parse, they fit each other and the scaler, and their query has a value."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from alerts.scale import manifests_page
from alerts.scale.app import Instruments
from alerts.scale.keda import metric, wrong
from alerts.scale.keda_wire import ScaledObjectRef
from lightmeter.localprom import answers, exposition, query
from lightmeter.localprom.store import Store
from lightmeter.scaling.signals import Observations
from support.scaling import BUSY, Script, scaler


PAGE = Path(__file__).parents[3] / "docs" / "scaling-kubernetes.md"
NAME, NAMESPACE = manifests_page.NAME, manifests_page.NAMESPACE


def shown() -> dict[str, Any]:
    """Read the manifests of the page, by kind."""
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    found = [one for block in blocks for one in yaml.safe_load_all(block)]
    return {one.get("kind", "adapter"): one for one in found}


def test_fit() -> None:
    """What is shown is for one workload, and KEDA's trigger is one that the scaler answers."""
    found = shown()
    trigger = found["ScaledObject"]["spec"]["triggers"][0]
    asked = ScaledObjectRef(name=NAME, namespace=NAMESPACE, scalerMetadata=trigger["metadata"])
    secret = {one["parameter"] for one in found["TriggerAuthentication"]["spec"]["secretTargetRef"]}

    assert {"Role", "RoleBinding", "ScaledObject", "TriggerAuthentication", "adapter", "HorizontalPodAutoscaler"} == set(found)  # fmt: skip
    assert "" == wrong(asked, manifests_page.SERVICE, f"deployment:{NAMESPACE}/{NAME}")
    assert {"caCert", "tlsClientCert", "tlsClientKey"} == secret
    assert trigger["authenticationRef"]["name"] == found["TriggerAuthentication"]["metadata"]["name"]  # fmt: skip
    hpa = found["HorizontalPodAutoscaler"]["spec"]
    assert hpa["metrics"][0]["external"]["metric"]["name"] == found["adapter"]["externalRules"][0]["name"]["as"]  # fmt: skip
    assert NAME == hpa["scaleTargetRef"]["name"] == found["ScaledObject"]["spec"]["scaleTargetRef"]["name"]  # fmt: skip
    assert "zimage-desired-replicas" == metric(manifests_page.SERVICE)


class Asked:
    """The HPA's question, asked of what a scaler exposes each quarter of a minute."""

    def __init__(self, folder: Path) -> None:
        self._registry = CollectorRegistry()
        self._store = Store()
        self._reader = exposition.Reader(())
        target = f"deployment:{NAMESPACE}/{NAME}"
        self._scaler = scaler(folder, [])
        self._scaler.target.name = target
        self._scaler.watcher = Instruments(self._registry, target)
        self._now = 1_800_000_000_000
        (rule,) = shown()["adapter"]["externalRules"]
        self._names, self._query = query.parse(rule["seriesQuery"]), query.parse(rule["metricsQuery"])  # fmt: skip

    def after(self, looks: int, seen: Observations | None) -> list[float]:
        """Look so often (or not, where the loop is stuck), then ask."""
        for _ in range(looks):
            if seen is not None:
                self._scaler.source = Script([seen])
                self._scaler.step()
            page = self._reader.read(generate_latest(self._registry).decode(), openmetrics=False)
            self._now += 15_000
            for labels, value, _ in page.samples:
                self._store.append(labels, self._now, value)
        return self._answer(self._query)

    def known(self) -> list[float]:
        """Ask as the adapter does when it looks which metrics there are."""
        return self._answer(self._names)

    def _answer(self, tree: Any) -> list[float]:
        found = answers.vector(query.instant(self._store, tree, self._now), self._now)["result"]
        return [float(one["value"][1]) for one in found]


def test_query(tmp_path: Path) -> None:
    """The HPA gets the number decided; none while readings are missing or old, or the loop is stuck."""
    asked = Asked(tmp_path)
    blind = BUSY._replace(in_flight=None, ages={"in_flight": math.inf})
    old = BUSY._replace(ages={"in_flight": 300.0})

    (wanted,) = asked.after(2, BUSY)
    assert asked.known() == [wanted]
    assert 0 < wanted
    assert [] == asked.after(1, blind)
    assert [wanted] == asked.after(1, BUSY)
    assert [] == asked.after(1, old)
    assert [wanted] == asked.after(4, BUSY)
    assert [] == asked.after(13, None)
