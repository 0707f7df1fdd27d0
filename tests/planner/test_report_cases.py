"""The report whatever the plan says: in both languages, with advice and without, with blocks missing."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lightmeter.rows import UsageRow
from planner import report
from planner.report import terminal
from planner.report.language import CODES, Language, phrases, table
from support import plans
from support.reading import Outline
from support.rows import DAY, every, row


HOUR = 3600.0
GIB = 1024**3


def steady(days: float = 9.0) -> list[UsageRow]:
    """Two services over some days, their memory, waits and GPUs known."""
    return [
        row(
            HOUR / 2 * k,
            20.0,
            "ab"[k % 2],
            peak_vram_bytes=(7 + k % 2) * GIB,
            queue_seconds=0.5,
            gpu_uuid=f"GPU-{k % 2}",
        )
        for k in range(int(days * 48))
    ]


def bursts() -> list[UsageRow]:
    """Bursts on some days of three weeks."""
    rng = np.random.default_rng(3)
    return [row(float(DAY * day + at), 30.0, "ab"[day % 2]) for day in range(21) for at in rng.random(rng.integers(1, 40)) * HOUR]  # fmt: skip


CASES: dict[str, dict[str, Any]] = {
    "advice": {"usage": steady(), "sweep_points": 2},
    "long": {"usage": every(HOUR, 24 * 36) + every(7000.0, 300, service="z"), "discount": 0.4},
    "bursts": {"usage": bursts()},
    "none meets": {"usage": every(30.0, 3600, seconds=40.0), "max_gpus": 1, "slo": "p95_wait=1s"},
    "one request": {"usage": [row(0.0)]},
    "too little": {"usage": every(100.0, 300)},
    "month": {"usage": steady(), "month": "2026-10"},
}


@pytest.fixture(scope="module")
def documents() -> dict[str, dict[str, Any]]:
    """Plan every case once."""
    return {name: plans.document(**case) for name, case in CASES.items()}


def pages(document: dict[str, Any], folder: Path, language: str) -> tuple[Outline, str]:
    """Write a report; return its page, read, and its Markdown."""
    report.write(document, folder, language)
    page = (folder / "report.html").read_text(encoding="utf-8")
    return Outline(page), (folder / "report.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("language", CODES)
@pytest.mark.parametrize("case", CASES)
def test_renders(
    documents: dict[str, dict[str, Any]], tmp_path: Path, case: str, language: str
) -> None:
    """Every case gives a whole page: tags pair up, ids are unique, links lead somewhere, no script."""
    page, markdown = pages(documents[case], tmp_path, language)

    assert [] == page.unclosed
    assert len(page.ids) == len(set(page.ids))
    assert set() == {link for link in page.links if link.removeprefix("#") not in page.ids}
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert not {name for name in page.attributes if name.startswith("on")}
    assert page.tags.count("table") == page.tags.count("caption")
    assert page.tags.count("svg") <= page.tags.count("desc")
    assert {"en": "en", "zh": "zh-CN"}[language] == page.language
    assert markdown.startswith("# ")
    assert "{" not in page.text


@pytest.mark.parametrize("case", CASES)
def test_chinese(documents: dict[str, dict[str, Any]], case: str) -> None:
    """Nothing that a plan says stays English on the Chinese page."""
    document, say = documents[case], Language("zh")
    advice = document["recommendation"]
    said = [advice["reason"], document["calibration"]["reason"], *document["generated_from"]["notes"]]  # fmt: skip
    said += [option["name"] for option in document["options"]]
    said += [flaw["reason"] for flaw in document["quality"]["flaws"]]
    said += [item[key] for option in document["options"] for item in option["assumptions"] for key in ("what", "source")]  # fmt: skip
    said += [part.removeprefix("above it ").removeprefix("from there on ") for flip in advice["flips_when"] for part in flip["what"].split("; ") if not part.startswith("price") and "the latter" not in part]  # fmt: skip
    said += [document["outlook"]["reason"]] if "outlook" in document else []

    assert [] == [sentence for sentence in said if not say.knows(sentence)]


def test_texts() -> None:
    """Every text is there in both languages, with the same holes."""
    holes = {
        key: [sorted(set(_holes(both[code]))) for code in CODES]
        for key, both in table()["text"].items()
    }

    assert [] == [key for key, both in table()["text"].items() if not all(code in both for code in CODES)]  # fmt: skip
    assert [] == [key for key, (english, chinese) in holes.items() if english != chinese]
    assert [] == [pair for pair in table()["said"] if not set(_holes(pair[1])) <= set(_holes(pair[0]))]  # fmt: skip
    assert len(phrases()) == len({pair[0] for pair in table()["said"]})


def _holes(text: str) -> list[str]:
    return [part.split("}")[0] for part in text.split("{")[1:]]


def test_words_stay() -> None:
    """Names that people gave stay what they are, and a sentence that nobody translated stays English."""
    say = Language("zh")

    assert "shop-1" == say.said("shop-1")
    assert "Something new happened" == say.said("Something new happened")
    assert "4 分 05 秒" == say.duration(245.0)
    assert "one shared pool" == Language("en").said("one shared pool")


def test_advice_first(documents: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    """Page one has the advice, the saving, how sure it is and where it flips, before any other section."""
    page, _ = pages(documents["advice"], tmp_path, "en")
    first = page.text[: page.text.index("each replayed on every request")]
    advice = documents["advice"]["recommendation"]

    assert advice["reason"] in first
    assert f"{advice['saving_ratio'] * 100:.1f} %" in first
    assert f"grade {documents['advice']['quality']['grade']}" in first
    assert f"{advice['flips_when'][0]['at']:.4g}" in first


def test_no_advice(documents: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    """Without advice nothing is said to be saved, and charts that need one say why they are missing."""
    page, markdown = pages(documents["none meets"], tmp_path, "en")

    assert "nothing is advised" in page.text
    assert "No chart: other loads were not tried" in markdown
    assert "leave it as it is" in page.text
    assert 2 == page.text.count("No chart: nothing is advised.")


@pytest.mark.parametrize(
    "block",
    ["profile", "rightsizing", "quality", "calibration", "outlook", "telemetry", "actual", "sensitivity", "previous"],
)  # fmt: skip
def test_without(
    documents: dict[str, dict[str, Any]], tmp_path: Path, block: str
) -> None:  # fmt: skip
    """A plan.json of another version, in which a block is missing, is still shown."""
    document = deepcopy(documents["advice"])
    document.pop(block, None)
    page, _ = pages(document, tmp_path, "en")

    assert [] == page.unclosed
    assert documents["advice"]["recommendation"]["reason"] in page.text


def test_charts(documents: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    """A plan of which much is known has every chart, each with a title and a description."""
    document = deepcopy(documents["advice"])
    page, _ = pages(document, tmp_path, "en")

    assert {f"fig-{name}-d" for name in ("costs", "heat", "duration", "load", "price", "packing", "forecast", "calibration")} <= set(page.ids)  # fmt: skip


def test_previous_and_spent(documents: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    """What was promised last month stands beside what came of it, and what was spent beside the advice."""
    before = tmp_path / "plan.json"
    before.write_text(json.dumps(documents["advice"]), encoding="utf-8")
    document = plans.document(steady(), previous=before, held_gpus=3)
    saving = document["previous"]["saving"]
    page, _ = pages(document, tmp_path / "out", "en")

    assert 0 > saving["realised_ratio"]
    assert (
        f"{-saving['realised_ratio'] * 100:.1f} % more than dedicated GPUs (GPUs seen" in page.text
    )
    assert f"Spent: USD {saving['spent']:,.2f}" in page.text


def test_no_image(tmp_path: Path) -> None:
    """Where no image was delivered none has a price; the page, the tables and the terminal say so."""
    usage = [replace(one, outcome="error") for one in every(3600.0, 100)]
    document = plans.document(usage, sweep_points=0)
    page, _ = pages(document, tmp_path, "en")

    assert {None} == {option["cost_per_1000_images"] for option in document["options"]}
    assert "\u2013" in page.text
    assert " \u2013 " in terminal.text(document)
