"""Rules as the files that others read: Prometheus's, and the operator's PrometheusRule. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from alerts.objectives import Links
from alerts.rule import Alert, Group, Pack, Record, Rule


HEADER = "# Made by `lightmeter rules generate`; changes belong in slo.toml.\n"
_TEMPLATE = re.compile(r"\{\{ \$labels\.\w+ \}\}")


def prometheus(pack: Pack, links: Links) -> str:
    """Write a rule file."""
    return HEADER + document({"groups": _groups(pack, links)})


def prometheus_rule(pack: Pack, links: Links, labels: Mapping[str, str]) -> str:
    """Write the Prometheus operator's object; its rule selector asks for ``labels``."""
    return HEADER + document({
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": f"lightmeter-{pack.name}", "labels": {"app.kubernetes.io/name": "lightmeter", **labels}},
        "spec": {"groups": _groups(pack, links)},
    })  # fmt: skip


def said(alert: Alert, links: Links) -> dict[str, str]:
    """Make all that an alert says; its summary is still a template."""
    return {
        "summary": alert.summary,
        "action": alert.first,
        "runbook_url": f"{links.runbook}#{alert.name.lower()}",
        "dashboard_url": alert.panel.url(links.dashboards),
    }


def labels(alert: Alert) -> dict[str, str]:
    """List what the rule adds to the labels of the series."""
    return {"severity": str(alert.severity), **alert.labels}


def _groups(pack: Pack, links: Links) -> list[dict[str, Any]]:
    return [_group(group, links) for group in pack.groups if group.rules]


def _group(group: Group, links: Links) -> dict[str, Any]:
    return {"name": group.name, "rules": [_rule(rule, links) for rule in group.rules]}


def _rule(rule: Rule, links: Links) -> dict[str, Any]:
    if isinstance(rule, Record):
        added = {"labels": dict(rule.labels)} if rule.labels else {}
        return {"record": rule.name, "expr": rule.expr, **added}
    hold = {"for": rule.hold} if rule.hold != "0m" else {}
    keep = {"keep_firing_for": rule.keep} if rule.keep != "0m" else {}
    return {
        "alert": rule.name,
        "expr": rule.expr,
        **hold,
        **keep,
        "labels": labels(rule),
        "annotations": said(rule, links),
    }


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]  # no type information upstream
    """Keeps the order, and shows a text of several lines as one."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", str(value), style=style)


_Dumper.add_multi_representer(str, _text)  # catalogue words are strings as well


def kustomization(resources: list[str]) -> str:
    """Let ``kubectl apply -k`` take a folder of manifests."""
    content = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": resources}  # fmt: skip
    return HEADER + document(content)


def document(content: Any) -> str:
    """Write YAML in the order that it was made in."""
    text: str = yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=10_000, allow_unicode=True)  # fmt: skip
    return text
