"""One plan, five formats: no number differs between them, and none is lost."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from planner import report
from planner.report import render
from support import plans
from support.reading import Outline, sheets
from support.rows import every


HOUR = 3600.0
NASTY = "=cmd|' /C calc'!A0"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """Plan two services, one of them named like a formula."""
    usage = [*every(HOUR, 80, service=NASTY), *every(HOUR, 80, first=HOUR / 2, service="z")]
    found = plans.document(usage, sweep_points=2)
    spent = {"name": "z", "gpu_hours": 1.25, "cost": 2.5}
    found["actual"] = {
        "gpus_held": 2.0, "gpus_held_source": "stated with --held-gpus", "gpu_hours": 160.0, "cost": 297.76,
        "idle_gpu_hours": 158.75, "idle_ratio": 0.992, "idle_cost": 295.26, "services": [spent],
        "price_source": "aws g6e.xlarge us-east-1, USD 1.861 a GPU-hour as of 2026-07-20",
    }  # fmt: skip
    return found


@pytest.mark.parametrize("language", ["en", "zh"])
def test_page_and_markdown(document: dict[str, Any], tmp_path: Path, language: str) -> None:
    """Costs, waits, shares and what was spent are the same on the page and in Markdown."""
    report.write(document, tmp_path, language)
    page = Outline((tmp_path / "report.html").read_text(encoding="utf-8")).text
    markdown = (tmp_path / "report.md").read_text(encoding="utf-8")

    for option in document["options"]:
        for text in (
            f"{option['monthly_cost']:,.2f}",
            f"{option['cost_per_1000_images']:,.2f}",
            f"{option['slo_attainment'] * 100:.1f} %",
            f"{option['utilization'] * 100:.1f} %",
        ):
            assert text in page
            assert text in markdown
    for amount in ("297.76", "295.26", "99.2 %"):
        assert amount in page
        assert amount in markdown


def test_csv(document: dict[str, Any], tmp_path: Path) -> None:
    """The CSV files hold plan.json's numbers in full, and a name cannot become a formula."""
    report.write(document, tmp_path)
    with (tmp_path / "options.csv").open(encoding="utf-8", newline="") as file:
        options = list(csv.DictReader(file))
    with (tmp_path / "services.csv").open(encoding="utf-8", newline="") as file:
        services = list(csv.DictReader(file))

    for found, option in zip(options, document["options"], strict=True):
        assert option["name"] == found["name"]
        for key in ("monthly_cost", "wait_p95_seconds", "slo_attainment", "gpus", "utilization"):
            assert option[key] == float(found[key])
        assert option["monthly_cost_ci"] == [float(found["monthly_cost_low"]), float(found["monthly_cost_high"])]  # fmt: skip
    assert [document["recommendation"]["option"]] == [place for place, one in enumerate(options) if one["recommended"] == "true"]  # fmt: skip
    assert f"'{NASTY}" in {one["name"] for one in services}
    assert {"z": "2.5", f"'{NASTY}": ""} == {one["name"]: one["cost"] for one in services}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_workbook(document: dict[str, Any], tmp_path: Path, language: str) -> None:
    """The workbook's numbers are numbers, those of plan.json, and a name like a formula is text."""
    report.write(document, tmp_path, language)
    summary, options, services, assumptions = sheets((tmp_path / "report.xlsx").read_bytes()).values()  # fmt: skip

    head = [str(name) for name in options[0]]
    for found, option in zip(options[1:], document["options"], strict=True):
        values = dict(zip(head, found, strict=True))
        for key in (
            "name",
            "monthly_cost",
            "wait_p99_seconds",
            "cost_per_1000_images",
            "meets_slo",
        ):
            assert option[key] == values[key]
    assert NASTY in {row[0] for row in services}
    assert 297.76 == {row[0]: row[1] for row in summary if len(row) > 1}["actual.cost"]
    assert len(assumptions) == 1 + sum(len(option["assumptions"]) for option in document["options"])


def test_same_bytes(document: dict[str, Any], tmp_path: Path) -> None:
    """The same plan gives the same bytes in every file, and plan.json does not depend on the language."""
    for name, language in (("a", "en"), ("b", "en"), ("c", "zh")):
        report.write(document, tmp_path / name, language)

    for file in report.FILES:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    for file in ("plan.json", "options.csv", "services.csv"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "c" / file).read_bytes()
    assert json.loads(json.dumps(document)) == json.loads(
        (tmp_path / "c" / "plan.json").read_text(encoding="utf-8")
    )


def test_origins(document: dict[str, Any]) -> None:
    """Every field that the report names as a number's origin is one of plan.json."""
    for section in render.compose(document).sections:
        for name in section.origins:
            assert _there(document, name.split(".")), name


def _there(block: Any, path: list[str]) -> bool:
    if not path or block is None or block == []:
        return True  # nothing is known of it, so there is nothing below
    name, _, index = path[0].partition("[")
    if name not in block:
        return name in {"telemetry", "previous", "outlook"}  # there where it was asked for
    if not index:
        return _there(block[name], path[1:])
    places = block[name] if index == "]" else [block[name][int(index.rstrip("]"))]]
    return not places or any(_there(one, path[1:]) for one in places)
