"""Alerts of localprom and of Prometheus, evaluation by evaluation."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lightmeter.localprom.evaluate import Options
from lightmeter.localprom.labels import NAME, Labels, changed, pack
from lightmeter.localprom.query import instant, parse
from lightmeter.localprom.rules import Rules, load
from lightmeter.localprom.store import STALE, Store
from support.promtool import promtool


pytestmark = pytest.mark.proof
TESTS = Path(__file__).parents[1] / "rules" / "default" / "tests"
FILES = sorted(TESTS.glob("*.yaml"))
LONGEST = 80
"""Evaluations of a trial that are compared; budgets of weeks end here."""
MOST = 8
"""Trials of a file; there are three for each of a dozen like objectives."""
ALERTS = parse("ALERTS")
_STEP = re.compile(r"^(?P<first>[-+.\dNaInf]+?)(?:(?P<by>[+-][.\d]+))?x(?P<times>\d+)$")
Trial = dict[str, Any]


def values(text: str) -> Iterator[float | None]:
    """Read promtool's notation: ``1+2x3`` is 1 3 5 7, ``_`` is nothing.

    https://prometheus.io/docs/prometheus/latest/configuration/unit_testing_rules/#series
    """
    for word in text.split():
        found = _STEP.match(word)
        if word.startswith("_"):
            yield from [None] * int(word.partition("x")[2] or 1)
        elif found:
            by = float(found["by"] or 0)
            yield from (
                float(found["first"]) + by * turn for turn in range(int(found["times"]) + 1)
            )
        else:
            yield STALE if word == "stale" else float(word)


def milliseconds(text: str) -> int:
    """Read a duration of one unit."""
    return int(text[:-1]) * {"s": 1000, "m": 60_000, "h": 3_600_000}[text[-1]]


def filled(trial: Trial) -> tuple[Store, int]:
    """Give a store the trial's series; return it with the last moment."""
    store, last, step = Store(retention_ms=10**12), 0, milliseconds(trial["interval"])
    for one in trial["input_series"]:
        tree: Any = parse(one["series"])
        labels = {match.name: match.value for match in tree.matchers.matchers}
        for at, value in enumerate(values(str(one["values"]))):
            if value is not None:
                store.append(pack({**labels, NAME: tree.name}), at * step, value)
            last = max(last, at * step)
    return store, last


def heard(path: Path, trial: Trial, interval: int) -> dict[int, list[Labels]]:
    """Evaluate a rule file over a trial with localprom: the alerts after each evaluation."""
    store, last = filled(trial)
    rules = Rules(load(path), store, lambda at, samples: [store.append(labels, at, value) for labels, value in samples], options=Options(newer=False))  # fmt: skip
    said = {}
    for at in range(0, min(last, LONGEST * interval) + 1, interval):
        rules.evaluate(at)
        said[at] = instant(store, ALERTS, at, Options(newer=False)).labels  # type: ignore[union-attr]
    return said


def asked(trial: Trial, said: dict[int, list[Labels]]) -> Trial:
    """Write what localprom said as what Prometheus has to say."""
    expected = [
        {"expr": "ALERTS", "eval_time": f"{at // 1000}s", "exp_samples": [{"labels": _text(each), "value": 1} for each in labels]}
        for at, labels in said.items()
    ]  # fmt: skip
    return {**{key: trial[key] for key in ("name", "interval", "input_series")}, "promql_expr_test": expected}  # fmt: skip


def _text(labels: Labels) -> str:
    inner = ",".join(f'{name}="{value}"' for name, value in changed(labels, {NAME: ""}))
    return f"ALERTS{{{inner}}}"


def trials_of(written: dict[str, Any]) -> list[Trial]:
    """Take at most so many trials, from all over the file."""
    trials: list[Trial] = written["tests"]
    return trials[
        :: max(1, math.ceil(len(trials) / MOST)) if "slo" in written["rule_files"][0] else 1
    ]


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_same(file: Path, tmp_path: Path) -> None:
    """Each alert is pending, fires and ends in the same evaluation in both."""
    written = yaml.safe_load(file.read_text())
    rules = (file.parent / written["rule_files"][0]).resolve()
    interval = milliseconds(written["evaluation_interval"])
    order = [group["name"] for group in yaml.safe_load(rules.read_text())["groups"]]
    trials = [(trial, heard(rules, trial, interval)) for trial in trials_of(written)]
    made = {"rule_files": [str(rules)], "evaluation_interval": written["evaluation_interval"], "group_eval_order": order, "tests": [asked(*each) for each in trials]}  # fmt: skip
    (tmp_path / "same.test.yaml").write_text(yaml.safe_dump(made))
    code, told = promtool("test", "rules", tmp_path / "same.test.yaml")

    assert 0 == code, told[-4000:]
    assert any(labels for _, said in trials for labels in said.values())
