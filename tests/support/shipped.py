"""The queries that lightmeter ships, and samples that they find."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import yaml
from promql_parser import VectorSelector, walk

from lightmeter.localprom.labels import pack
from lightmeter.localprom.query import parse
from lightmeter.localprom.selectors import conditions
from support.past import BEGIN_MS, SAMPLES, STEP_MS, Past


ROOT = Path(__file__).parents[2]
RATE = "2m"


def rules() -> list[str]:
    """Return the expressions of all rules."""
    groups = [group for path in sorted((ROOT / "alerts/generated/prometheus").glob("*.yaml")) for group in yaml.safe_load(path.read_text())["groups"]]  # fmt: skip
    return list(dict.fromkeys(rule["expr"] for group in groups for rule in group["rules"]))


def panels() -> dict[str, list[str]]:
    """Return the queries of each board, with everything chosen."""
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / "dashboards/generated/json").glob("*.json")):
        board = json.loads(path.read_text())
        given = {one["name"]: one["current"].get("value", "") for one in board["templating"]["list"] if one["type"] in ("custom", "textbox")}  # fmt: skip
        targets = [target for panel in board["panels"] for target in panel.get("targets", ())]
        asked = [one["expr"] for one in [*targets, *board["annotations"]["list"]]]
        found[path.stem] = list(dict.fromkeys(_filled(text, {"__rate_interval": RATE, **given}) for text in asked))  # fmt: skip
    return found


def _filled(query: str, values: dict[str, str]) -> str:
    for name in sorted(values, key=len, reverse=True):
        query = query.replace(f"${name}", values[name])
    return re.sub(r"\$\w+", ".+", query).replace(":]", ":1m]")


def asked_for(texts: list[str], nodes: int = 2) -> Past:
    """Give every metric that a query asks for as many series that its conditions accept."""
    seen: list[VectorSelector] = []
    for text in texts:
        walk(parse(text), lambda node: seen.append(node) if isinstance(node, VectorSelector) else None)  # fmt: skip
    rng = np.random.default_rng(3)
    past: Past = {}
    times = BEGIN_MS + STEP_MS * np.arange(SAMPLES, dtype=np.int64)
    for selector in seen:
        labels = {"service": "s", "instance": "i", "gpu": "0", "UUID": "u", "le": "+Inf"}
        for match in conditions(selector):
            first = match.value.split("|")[0].strip("()").replace(".+", "s").replace(".*", "s")
            if match.kind in ("=", "=~"):
                labels[match.name] = first
        for node in range(nodes):
            values = np.cumsum(rng.gamma(1, 1, SAMPLES)) / 100
            past[pack({**labels, "instance": f"i{node}"})] = (times, values)
    return past
