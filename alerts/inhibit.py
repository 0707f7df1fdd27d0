"""Which alert makes which other one needless, by the labels of both. Pure.

An alert that is on both sides of a line does not silence itself: Alertmanager leaves such out.
https://prometheus.io/docs/alerting/latest/configuration/#inhibit_rule
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from alerts.objectives import Slo
from alerts.promql import matcher
from alerts.rule import Severity
from lightmeter import catalog
from lightmeter.catalog import ScaleAction, Scaling


Matchers = Mapping[str, str | tuple[str, ...]]


@dataclass(frozen=True)
class Inhibition:
    """While ``source`` fires, ``target`` is not told of, where both have the labels ``equal``."""

    source: Matchers
    target: Matchers
    equal: tuple[str, ...]
    why: str


def table(slo: Slo) -> tuple[Inhibition, ...]:
    """List who silences whom, for services that are told apart as ``slo`` does."""
    service = slo.group_by
    blind: Matchers = {catalog.SCALING_LABEL: Scaling.FREEZE}
    down: dict[str, str | tuple[str, ...]] = {catalog.ACTION_LABEL: ScaleAction.DOWN}
    known: Matchers = {
        "component": ("server", "slo", "quality", "cost"),
        f"not_{catalog.SCALING_LABEL}": Scaling.RAISE,
    }
    return (
        Inhibition(blind, down, service, "What is not seen is not zero: nothing is taken from a service whose metrics are missing."),
        Inhibition(blind, down | dict.fromkeys(service, ""), (), "Nor is anything taken by a rule that looks at all services together."),
        Inhibition(
            blind, known, service,
            "A service whose metrics are missing is blind: what else fires is what was last seen. What keeps up the scaler's floor is let through.",
        ),
        Inhibition({"cause": "gpu"}, {"symptom": "gpu"}, ("UUID",), "A GPU that is down or gone explains its own errors, heat and stale readings."),
        Inhibition(
            {"cause": "exporter"}, {"component": ("gpu", "host", "cost")}, ("instance",),
            "Without its exporter nothing new is known of a node and its GPUs; that they are gone from the page says nothing.",
        ),
        Inhibition(
            {"component": "slo", "severity": Severity.PAGE}, {"component": "slo", "severity": Severity.TICKET},
            (*service, catalog.SLO_LABEL), "Somebody is awake for this objective already.",
        ),
    )  # fmt: skip


def rules(slo: Slo) -> list[dict[str, Any]]:
    """Write the table as Alertmanager's configuration has it."""
    return [
        {
            "source_matchers": matchers(one.source),
            "target_matchers": matchers(one.target),
            **({"equal": list(one.equal)} if one.equal else {}),
        }
        for one in table(slo)
    ]


def matchers(wanted: Matchers) -> list[str]:
    """Write conditions on labels."""
    return [matcher(label, value) for label, value in wanted.items()]


def markdown(slo: Slo) -> str:
    """Write the table for people."""
    lines = ["| while this fires | this is not told of | where both have the same | why |", "|---|---|---|---|"]  # fmt: skip
    for one in table(slo):
        same = ", ".join(f"`{label}`" for label in one.equal) or "any"
        lines.append(f"| {_code(one.source)} | {_code(one.target)} | {same} | {one.why} |")
    return "\n".join(lines)


def _code(wanted: Matchers) -> str:
    return ", ".join(f"`{one}`" for one in matchers(wanted)).replace("|", "\\|")
