"""``lightmeter dashboards``: files that Grafana reads, and the check of any dashboard."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lightmeter.catalog import Board
from support.cli import lightmeter


GENERATED = Path(__file__).parents[2] / "dashboards" / "generated"


def test_generate(tmp_path: Path) -> None:
    """The command writes what is committed, and the check finds nothing wrong with it."""
    ran = lightmeter("dashboards", "generate", "--out", "made", "--format", "json,provisioning,configmap", "--json", cwd=tmp_path)  # fmt: skip
    made = {str(path.relative_to(tmp_path / "made")): path.read_text() for path in (tmp_path / "made").rglob("*.*")}  # fmt: skip
    committed = {str(path.relative_to(GENERATED)): path.read_text() for path in GENERATED.rglob("*.*")}  # fmt: skip

    assert committed == made
    assert len(made) == len(json.loads(ran.out)["files"])
    boards = [f"made/json/{board}.json" for board in Board]
    checked = lightmeter("dashboards", "check", *boards, cwd=tmp_path)
    assert (0, "0 findings in 5 dashboards\n") == (checked.code, checked.out)


def test_runbook(tmp_path: Path) -> None:
    """The names of alerts lead to the runbook that is given."""
    lightmeter("dashboards", "generate", "--runbook", "https://wiki.example/x", cwd=tmp_path)

    assert "https://wiki.example/x#" in (tmp_path / f"dashboards/json/{Board.OVERVIEW}.json").read_text()  # fmt: skip


def test_broken(tmp_path: Path) -> None:
    """A broken rule is exit code 1, and each finding says where, what and by which rule."""
    board = json.loads((GENERATED / "json" / f"{Board.COST}.json").read_text())
    board["editable"] = True
    (tmp_path / "x.json").write_text(json.dumps(board))
    ran = lightmeter("dashboards", "check", "x.json", cwd=tmp_path)
    told = json.loads(lightmeter("dashboards", "check", "x.json", "--json", cwd=tmp_path).out)

    assert 1 == ran.code
    assert ran.out.startswith("x.json: dashboard can be edited by hand")
    assert "1 findings in 1 dashboards" in ran.out
    assert ["uneditable-dashboard"] == [row["rule"] for row in told["files"]["x.json"]]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["generate", "--format", "jsom"], "format 'jsom' does not exist; there are json"),
        (["generate", "--out", "/dev/null/x"], "give another --out"),
        (["check", "nowhere.json"], "dashboard 'nowhere.json' does not exist"),
        (["check"], "Missing argument"),
    ],
)
def test_refused(tmp_path: Path, arguments: list[str], said: str) -> None:
    """A mistake is one line and exit code 2."""
    assert said in lightmeter("dashboards", *arguments, cwd=tmp_path).refusal()
