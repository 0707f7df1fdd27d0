"""When requests are due, which of them count, and what they ask for."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.load import arrivals, asks, trace
from inference.load.arrivals import Arrival, Part, Warmup, Window
from inference.load.asks import Mix, Shape
from lightmeter.catalog import Priority
from lightmeter.errors import HistoryError, InputError, SettingError
from support import rows
from support.rows import row


def first(number: int, found: Any) -> list[Any]:
    return list(itertools.islice(found, number))


def bodies(mix: Mix, number: int = 1000, seed: int = 1) -> list[dict[str, Any]]:
    return [json.loads(ask.body) for ask in first(number, asks.asks(arrivals.at_once(), mix, seed))]


def test_poisson() -> None:
    """Poisson arrivals have the asked rate and gaps as irregular as chance makes them."""
    gaps = np.diff([arrival.at for arrival in first(20_000, arrivals.poisson(5.0, seed=3))])

    assert pytest.approx(0.2, rel=0.03) == gaps.mean()
    assert pytest.approx(gaps.mean(), rel=0.03) == gaps.std()
    assert gaps.min() > 0


def test_same_seed() -> None:
    """The same seed is the same load, another seed another."""
    one, same, other = (first(50, arrivals.poisson(5.0, seed)) for seed in (1, 1, 2))

    assert one == same
    assert one != other
    mix = Mix(shapes=(Shape(64, 64), Shape(32, 32)))
    assert bodies(mix, seed=1) == bodies(mix, seed=1)
    assert bodies(mix, seed=1) != bodies(mix, seed=2)


def test_uniform() -> None:
    """Even arrivals begin at once and never drift."""
    assert [0.0, 0.25, 0.5] == [arrival.at for arrival in first(3, arrivals.uniform(4.0))]
    assert 1000.0 == first(4001, arrivals.uniform(4.0))[-1].at


def parts(window: Window, times: list[float]) -> str:
    return "".join(window.admit(at).name[0] for at in times)


@pytest.mark.parametrize(
    ("expected", "window"),
    [
        ("CCCCCCCC", Window(Warmup(), seconds=0, requests=0)),
        ("CCCOOOOO", Window(Warmup(), seconds=0, requests=3)),
        ("CCCCOOOO", Window(Warmup(), seconds=4, requests=0)),
        ("WWCCCOOO", Window(Warmup(requests=2), seconds=0, requests=3)),
        ("WWWCCCOO", Window(Warmup(requests=3), seconds=3, requests=0)),
        ("WWWCCOOO", Window(Warmup(seconds=2.5), seconds=2, requests=0)),
        ("WWCCCCOO", Window(Warmup(requests=2), seconds=4, requests=100)),
    ],
)
def test_window(expected: str, window: Window) -> None:
    """The warm-up comes first and in addition; then time or number ends it, whichever is first."""
    assert expected == parts(window, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])


def test_window_began() -> None:
    """The time that counts begins after the warm-up, or at once without one."""
    plain, requests, seconds = (
        Window(warmup, seconds=9, requests=0) for warmup in (Warmup(), Warmup(2), Warmup(0, 2.5))
    )
    for window in (plain, requests, seconds):
        assert Part.OVER not in {window.admit(at) for at in (0.5, 1.5, 3.0)}

    assert (0.0, 3.0, 2.5) == (plain.began, requests.began, seconds.began)
    assert (9.0, 12.0, 11.5) == (plain.ends, requests.ends, seconds.ends)


@pytest.mark.parametrize(
    ("text", "warmup"),
    [("0", Warmup()), ("10", Warmup(10)), ("5s", Warmup(0, 5.0)), ("1.5m", Warmup(0, 90.0))],
)
def test_warmup(text: str, warmup: Warmup) -> None:
    """A bare number is requests, one with a unit is time."""
    assert warmup == arrivals.parse_warmup(text)


@pytest.mark.parametrize("text", ["", "ten", "-1", "5 requests"])
def test_warmup_refused(text: str) -> None:
    """What is neither is refused with both forms."""
    with pytest.raises(SettingError, match=r"like 10, or a time like 5s"):
        arrivals.parse_warmup(text)


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("512x768", Shape(512, 768)),
        ("512x512:8", Shape(512, 512, 8)),
        ("512x512@0.2", Shape(512, 512, None, 0.2)),
        (" 1024x1024:4@3 ", Shape(1024, 1024, 4, 3.0)),
    ],
)
def test_shape(text: str, shape: Shape) -> None:
    """A shape is a size, with steps and weight where they are given."""
    assert shape == asks.parse_shape(text)


@pytest.mark.parametrize(
    "text", ["", "512", "512x", "512x512:", "512x512@", "0x512", "512x512:0", "512x512@0", "axb"]
)
def test_shape_refused(text: str) -> None:
    """What is no shape is refused with the forms that work."""
    with pytest.raises(SettingError, match=r"512x512:8@0.2"):
        asks.parse_shape(text)


def test_mix() -> None:
    """Shapes come as often as their weights say, with batch priority as often as asked."""
    mix = Mix(shapes=(Shape(64, 64, 2, 3.0), Shape(128, 64)), batch_share=0.2, images=2, model="m")
    found = bodies(mix, 4000)
    sizes = Counter(body["size"] for body in found)

    assert {"64x64", "128x64"} == set(sizes)
    assert 0.7 < sizes["64x64"] / 4000 < 0.8
    assert all(("num_inference_steps" in body) == (body["size"] == "64x64") for body in found)
    assert 0.16 < sum(body["priority"] == Priority.BATCH for body in found) / 4000 < 0.24
    assert {(2, "m")} == {(body["n"], body["model"]) for body in found}


def test_plain_body() -> None:
    """Nothing but the prompt is sent unless asked for, so that any OpenAI endpoint understands."""
    assert {("prompt",)} == {tuple(body) for body in bodies(Mix())}


def test_picture_seeds() -> None:
    """With a seed for each, no two requests are the same, and a second run asks for the same pictures."""
    found = bodies(Mix(picture_seeds=True))

    assert 1000 == len({body["seed"] for body in found})
    assert found == bodies(Mix(picture_seeds=True))


def test_prompts(tmp_path: Path) -> None:
    """Prompts come from the lines of a file."""
    path = tmp_path / "prompts.txt"
    path.write_text("a fox\n\n  猫 \n", encoding="utf-8")

    assert ("a fox", "猫") == asks.read_prompts(path)
    assert {"a fox", "猫"} == {body["prompt"] for body in bodies(Mix(prompts=("a fox", "猫")))}


def test_prompts_refused(tmp_path: Path) -> None:
    """A file without a prompt, or none at all, is refused by name."""
    (tmp_path / "empty").write_text("\n \n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name, words in (("empty", "no line"), ("binary", "no UTF-8"), ("absent", "does not exist")):
        with pytest.raises(InputError, match=words):
            asks.read_prompts(tmp_path / name)


TRACES = {
    "a.csv": "arrival_seconds,size,steps,prompt,n,priority\n12.5,64x32,4,a fox,2,batch\n10,,,,,\n",
    "a.jsonl": '{"arrival_seconds": 12.5, "size": "64x32", "steps": 4, "prompt": "a fox", "n": 2, "priority": "batch"}\n\n{"arrival_seconds": 10}\n',
}


@pytest.mark.parametrize("name", TRACES)
def test_trace(name: str, tmp_path: Path) -> None:
    """A trace file is sorted and begins at 0; what a row leaves out is left to the mix."""
    (tmp_path / name).write_text(TRACES[name])
    plain, full = trace.read(tmp_path / name)

    assert Arrival(0.0) == plain
    assert Arrival(2.5, 64, 32, 4, "a fox", 2, Priority.BATCH) == full
    assert [0.0, 0.25] == [arrival.at for arrival in trace.sped_up([plain, full], 10)]
    ask = first(2, asks.asks([plain, full], Mix(model="m"), 1))[1]
    assert {"prompt": "a fox", "model": "m", "size": "64x32", "num_inference_steps": 4, "n": 2, "priority": "batch"} == json.loads(ask.body)  # fmt: skip


def test_shape_over_trace() -> None:
    """A shape on the command line wins over the sizes of a trace."""
    ask = first(1, asks.asks([Arrival(0.0, 64, 32, 4)], Mix(shapes=(Shape(16, 16),)), 1))[0]

    assert (16, 16, None) == (ask.width, ask.height, ask.steps)


def test_history_as_trace(tmp_path: Path) -> None:
    """A usage history is replayed as it arrived; invalid requests are not sent again."""
    known: dict[str, Any] = {
        "width": 64,
        "height": 32,
        "forwards": 8,
        "images": 2,
        "priority": "batch",
    }
    rows.folder(tmp_path, [row(7.0, **known), row(5.5), row(6.0, outcome="invalid"), row(9.0, outcome="shed")])  # fmt: skip

    assert [Arrival(0.0), Arrival(1.5, 64, 32, 8, None, 2, Priority.BATCH), Arrival(3.5)] == trace.read(tmp_path)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("absent.csv", None, "does not exist"),
        ("a.csv", "", "has no column 'arrival_seconds'"),
        ("a.csv", "arrival_seconds\n", "holds no request"),
        ("a.csv", "gmt_create,groupId\n1,2\n", "lightmeter history import"),
        (
            "a.csv",
            "arrival_seconds,sise\n1,2\n",
            "column 'sise' is not known; did you mean 'size'?",
        ),
        ("a.csv", "arrival_seconds\n-1\n", "line 2: arrival_seconds is '-1'"),
        ("a.csv", "arrival_seconds\nnan\n", "line 2: arrival_seconds is 'nan'"),
        ("a.csv", "arrival_seconds,size\n1,64\n", "line 2: size is '64'"),
        ("a.csv", "arrival_seconds,steps\n1,0\n", "line 2: steps is '0'"),
        ("a.csv", "arrival_seconds,priority\n1,high\n", "line 2: priority is 'high'"),
        ("a.csv", "arrival_seconds\n1,2\n", "line 2 has more values than columns"),
        ("a.csv", "arrival_seconds\n\xff", "cannot be read"),
        ("a.jsonl", "{", "line 1 is no JSON"),
        ("a.jsonl", "7", "line 1 is no JSON object"),
        ("a.jsonl", '{"arrival_seconds": "soon"}', "line 1: arrival_seconds is 'soon'"),
        ("a.csv.gz", "x", "lightmeter history import"),
    ],
)
def test_trace_refused(name: str, content: str | None, words: str, tmp_path: Path) -> None:
    """A trace that is none is refused by line, column and value, with what a trace looks like."""
    if content is not None:
        (tmp_path / name).write_text(content, encoding="latin-1")

    with pytest.raises(HistoryError) as caught:
        trace.read(tmp_path / name)

    assert words in str(caught.value)


def test_history_of_refusals_only(tmp_path: Path) -> None:
    """A history without a request that can be sent is refused."""
    rows.folder(tmp_path, [row(0.0, outcome="invalid")])
    with pytest.raises(HistoryError, match="no request that could be sent"):
        trace.read(tmp_path)


def test_gaps_are_kept(tmp_path: Path) -> None:
    """Arrivals of a history keep their distances across midnight."""
    rows.folder(tmp_path, [row(rows.DAY - 1), row(rows.DAY + 1)])

    assert [0.0, 2.0] == [arrival.at for arrival in trace.read(tmp_path)]
