"""``lightmeter rules generate``: files for a Prometheus that is there already."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from support.cli import lightmeter


def test_default(tmp_path: Path) -> None:
    """Without options the recommended rules and their runbook are written, and counted."""
    ran = lightmeter("rules", "generate", "--out", str(tmp_path / "rules"), cwd=tmp_path)

    assert 0 == ran.code
    counted = re.match(r"(\d+) alerts, (\d+) of them tested, and \d+ recorded series", ran.out)
    assert counted
    assert counted[1] == counted[2]
    assert {"prometheus", "runbook.md"} == {path.name for path in (tmp_path / "rules").iterdir()}
    runbook = (tmp_path / "rules/runbook.md").read_text()
    for path in (tmp_path / "rules/prometheus").iterdir():
        for group in yaml.safe_load(path.read_text())["groups"]:
            for rule in group["rules"]:
                assert "alert" not in rule or f"### {rule['alert']}\n" in runbook


def test_own_objectives(tmp_path: Path) -> None:
    """slo.toml in the folder is read without being named, and what was left out is said."""
    (tmp_path / "slo.toml").write_text('[links]\nrunbook = "https://wiki.example/x"\n')
    ran = lightmeter("rules", "generate", "--json", cwd=tmp_path)
    said = json.loads(ran.out)

    assert [
        "LightmeterSpendOverBudget needs money.monthly_budget in slo.toml",
        "links.dashboards is not set in slo.toml: alerts link to http://127.0.0.1:9090",
    ] == said["notes"]
    assert "https://wiki.example/x#" in (tmp_path / "rules/prometheus/recommended-gpu.rules.yaml").read_text()  # fmt: skip


def test_operator(tmp_path: Path) -> None:
    """The operator's object carries the label that its selector asks for."""
    lightmeter("rules", "generate", "--format", "prometheusrule", "--label", "release=prometheus", "--pack", "classic", cwd=tmp_path)  # fmt: skip
    made = yaml.safe_load((tmp_path / "rules/prometheusrule/classic.yaml").read_text())

    assert "prometheus" == made["metadata"]["labels"]["release"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--pack", "classical"],
            "pack 'classical' does not exist; there are recommended, classic",
        ),
        (["--format", "promehteus"], "format 'promehteus' does not exist"),
        (["--slo", "nowhere.toml"], "objectives 'nowhere.toml' does not exist"),
        (["--label", "release"], "label 'release' is not understood; write it like"),
        (["--out", "/dev/null/x"], "give another --out"),
    ],
)
def test_refused(tmp_path: Path, arguments: list[str], said: str) -> None:
    """A mistake is one line and exit code 2."""
    ran = lightmeter("rules", "generate", *arguments, cwd=tmp_path)

    assert (2, 1) == (ran.code, ran.err.count("\n"))
    assert said in ran.err


def test_no_prometheus(tmp_path: Path) -> None:
    """A Prometheus that is not there is exit code 3, and the files are written."""
    ran = lightmeter("rules", "generate", "--reload", "http://127.0.0.1:9", cwd=tmp_path)

    assert 3 == ran.code
    assert "Prometheus at http://127.0.0.1:9 cannot be reached" in ran.err
    assert (tmp_path / "rules/prometheus").is_dir()
