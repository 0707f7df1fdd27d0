"""Several policies compared: the search, the intervals, and the page that says it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lightmeter import svg
from lightmeter.errors import ScaleError
from lightmeter.scaling.state import Settings
from lightmeter.simulate import curves, generate, page, search
from lightmeter.simulate.demand import Demand
from lightmeter.simulate.rows import moment
from lightmeter.simulate.score import Score
from lightmeter.simulate.study import CLOSE, SHORT, Study, run
from lightmeter.simulate.view import World


DAY = 86_400.0


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """A study of three policies over four days, scored on the last three."""
    demand = replace(generate.sessions(4.0, per_day=150.0, seed=3), start=1.7e9)
    study = Study(["recommended", "static:2", "oracle"], demand, Settings(), World(), begin=DAY, sweep=(20.0, 180.0))  # fmt: skip
    told: list[tuple[str, float]] = []
    found = run(study, lambda step, share: told.append((step, share)))
    assert ("recommended, start 180 s", 1.0) in told
    return {"trace": "a <trace>", **found}


def test_rows(document: dict[str, Any]) -> None:
    """Each row has its cost, its regret, and how it compares with the cheapest other one."""
    ours, two, oracle = document["policies"]

    assert 0.0 == oracle["regret_ratio"]
    assert "difference" not in oracle
    assert two["difference"]["to"] == "recommended"
    assert two["difference"]["gpu_hours"] == -ours["difference"]["gpu_hours"]
    assert ours["difference"]["low"] <= ours["difference"]["gpu_hours"] <= ours["difference"]["high"]  # fmt: skip
    assert [20.0, 180.0] == [one["cold_start_seconds"] for one in document["sweep"]]
    assert ours["gpu_hours"] == document["sweep"][1]["policies"][0]["gpu_hours"]


def test_curves(document: dict[str, Any]) -> None:
    """The replicas drawn add up to the GPU-hours scored; the waits drawn end at everyone."""
    drawn, ours = document["curves"], document["policies"][0]
    hours = np.diff(drawn["hours"]) @ np.asarray(drawn["replicas"]["recommended"])

    assert ours["gpu_hours"] == pytest.approx(hours, rel=0.02)
    assert 1.0 == drawn["within"]["recommended"][-1]
    assert drawn["within"]["recommended"] == sorted(drawn["within"]["recommended"])


def test_mean_count() -> None:
    """Two spans, one of them half within the second step."""
    found = curves.mean_count(np.array([0.0, 15.0]), np.array([20.0, 40.0]), np.array([0.0, 10.0, 20.0]))  # fmt: skip

    assert [1.0, 1.5] == found.tolist()


def test_interval() -> None:
    """What differs by a day's luck is too close; what differs every day is not; few days say nothing."""
    flat = np.full(6, 10.0)
    luck = flat + np.array([5.0, -4.0, 3.0, -3.0, 1.0, -1.0])
    low, high = curves.difference(luck, flat) or (1.0, 1.0)

    assert low < 0 < high
    assert (12.0, 12.0) == curves.difference(flat + 2, flat)
    assert None is curves.difference(flat[:2], flat[:2])


class Page(HTMLParser):
    """Collects the addresses and the pictures of a page, and that all of it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.named: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what points outside, and what names a picture."""
        found = dict(attrs)
        self.addresses += [found[key] or "" for key in ("src", "href") if key in found]
        self.ids += [found["id"] or ""] if "id" in found else []
        if tag == "svg":
            self.named += (found["aria-labelledby"] or "").split()


def test_page(document: dict[str, Any], tmp_path: Path) -> None:
    """The page needs no network, names each picture for those who cannot see it, and escapes names."""
    files = page.write(document, tmp_path / "new" / "folder")
    text = files[2].read_text()
    seen = Page()
    seen.feed(text)

    assert [page.JSON, page.MARKDOWN, page.HTML] == [file.name for file in files]
    assert [] == seen.addresses
    assert "url(" not in text
    assert seen.named
    assert sorted(seen.named) == sorted(seen.ids)
    assert "a &lt;trace&gt;" in text
    assert "nan" not in re.sub("[a-z]{4,}", "", text)
    assert document == json.loads(files[0].read_text())
    assert "| recommended |" in files[1].read_text()


def test_said(document: dict[str, Any]) -> None:
    """What is too close, or of too few days, is said to be so."""
    ours = document["policies"][0]
    for verdict, words in ((CLOSE, "too close to call"), (SHORT, "Too few days"), ("cheaper", "GPU-hours")):  # fmt: skip
        row = {**ours, "difference": {**ours["difference"], "verdict": verdict}}
        assert words in page.said({**document, "policies": [row]})[0]
    assert [] == page.said({**document, "policies": document["policies"][2:]})


@pytest.mark.parametrize(
    ("ours", "words"),
    [(3.0, "25% less than"), (6.0, "50% more than"), (80.0, "20 times as much as")],
)
def test_ratio(document: dict[str, Any], ours: float, words: str) -> None:
    """A cost is a share more or less than another's, or so many times as much, never 1900% more."""
    row = {**document["policies"][0], "cost_gpu_hours": ours}
    row["difference"] = {**row["difference"], "verdict": "dearer", "gpu_hours": ours - 4.0}

    assert words in page.said({**document, "policies": [row]})[0]


def test_one_policy(tmp_path: Path) -> None:
    """A single policy on a single request makes a page as well."""
    demand = Demand(np.array([5.0]), np.array([2.0]), np.array([1]), start=1.7e9)
    found = run(Study(["static:0"], demand, Settings(), World()), lambda _step, _share: None)

    assert 3 == len(page.write({"trace": "x", **found}, tmp_path))
    assert "never" in (tmp_path / page.MARKDOWN).read_text()


def test_choice_is_blind() -> None:
    """What arrives after the split changes nothing of what is chosen before it."""
    demand = generate.sessions(2.0, per_day=20.0, seed=5)
    early = search.cut(demand, DAY)
    other = generate.sessions(1.0, per_day=100.0, seed=9)
    longer = Demand(
        np.concatenate([early.arrivals, DAY + other.arrivals]),
        np.concatenate([early.services, other.services]),
        np.concatenate([early.users, other.users]),
    )
    chosen = [
        {name: one.words for name, one in search.choose(search.cut(whole, DAY), Settings(), World()).items()}
        for whole in (demand, longer)
    ]  # fmt: skip

    assert set(search.FAMILIES) == set(chosen[0])
    assert chosen[0] == chosen[1]


def test_grids() -> None:
    """Each family is searched over as many combinations."""
    assert [18, 18, 18] == [len(search.grid(name, Settings())) for name in search.FAMILIES]


def test_calm() -> None:
    """The cheapest of those that are calm enough is taken; where none is, the calmest."""
    scores = {name: Score(gpu, 1, 0, 0.0, 0, 0, 0, 0, turns, 0, 0, 0) for name, gpu, turns in (("cheap", 1.0, 9), ("calm", 2.0, 3), ("dear", 3.0, 2))}  # fmt: skip

    assert ["cheap", "calm", "dear", "dear"] == [search.cheapest(scores, 900.0, limit) for limit in (None, 3, 2, 0)]  # fmt: skip


def test_moment() -> None:
    """A split is a date, of UTC where it names no zone, or a time from the start."""
    assert 86_400.0 == moment("2024-11-16", 1731628800.0)
    assert 3600.0 == moment("2024-11-15T03:00+02:00", 1731628800.0)
    assert 950_400.0 == moment("11d", 0.0)
    with pytest.raises(ScaleError, match="'soon' is no date"):
        moment("soon", 0.0)


def test_spread() -> None:
    """Names at the edge of a chart stand apart, in order, and none falls off it."""
    assert [10.0, 24.0, 38.0] == svg.spread([10.0, 10.0, 12.0], 14.0, 100.0)
    assert [72.0, 86.0, 100.0] == svg.spread([99.0, 99.0, 100.0], 14.0, 100.0)
    assert [0.0, 20.0, 40.0] == svg.ticks(45.0, 3)
