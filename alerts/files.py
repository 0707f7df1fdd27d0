"""Which files a pack of rules becomes, by format. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from alerts import packs, render, routes, runbook, trials
from alerts.objectives import Slo
from alerts.rule import Pack
from lightmeter.errors import RuleError, nearest


FORMATS = ("prometheus", "prometheusrule", "alertmanager", "tests", "runbook")


def generate(
    names: tuple[str, ...], slo: Slo, formats: tuple[str, ...], labels: Mapping[str, str]
) -> tuple[dict[str, str], list[Pack]]:
    """Make the files of some packs, by their paths; return the packs as well.

    Raises:
        RuleError: there is no such pack, or no such format.
    """
    for wanted in formats:
        if wanted not in FORMATS:
            raise RuleError(f"format {wanted!r} does not exist; there are {', '.join(FORMATS)}{nearest(wanted, FORMATS)}")  # fmt: skip
    made = [packs.make(name, slo) for name in names]
    found: dict[str, str] = {}
    for pack in made:
        if "prometheus" in formats:
            found |= rule_files(pack, slo)
        if "prometheusrule" in formats:
            found[f"prometheusrule/{pack.name}.yaml"] = render.prometheus_rule(pack, slo.links, labels)  # fmt: skip
        if "tests" in formats:
            found |= test_files(pack, slo, "../prometheus")
    if "prometheusrule" in formats:
        found["prometheusrule/kustomization.yaml"] = render.kustomization([f"{pack.name}.yaml" for pack in made])  # fmt: skip
    if "alertmanager" in formats:
        found |= {f"alertmanager/{name}": text for name, text in routes.alertmanager(slo).items()}
    if "runbook" in formats:
        found["runbook.md"] = runbook.runbook(tuple(made))
    return found, made


def rule_files(pack: Pack, slo: Slo) -> dict[str, str]:
    """Make a pack's rule files."""
    return {
        f"prometheus/{pack.name}-{name}.rules.yaml": render.prometheus(part, slo.links)
        for name, part in pack.files.items()
    }


def test_files(pack: Pack, slo: Slo, rules: str) -> dict[str, str]:
    """Make a pack's tests for promtool, which find its rule files in a folder beside them."""
    return {
        f"tests/{pack.name}-{name}-{every}.test.yaml": text
        for name, part in pack.files.items()
        for every, text in trials.promtool(part, slo.links, f"{rules}/{pack.name}-{name}.rules.yaml").items()
    }  # fmt: skip
