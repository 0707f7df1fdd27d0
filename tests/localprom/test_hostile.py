"""Questions that mean no good: localprom refuses them in words, at once, and goes on."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from starlette.testclient import TestClient

from lightmeter.errors import QueryError
from lightmeter.localprom import frame
from lightmeter.localprom.api import Api
from lightmeter.localprom.evaluate import Options
from lightmeter.localprom.keep import Keeper
from lightmeter.localprom.labels import pack
from lightmeter.localprom.patterns import compiled, gentle
from lightmeter.localprom.query import instant, parse, ranged
from lightmeter.localprom.store import Store


@pytest.fixture(scope="module")
def store() -> Store:
    """Keep two series, one of them with a label that makes bad patterns try for ever."""
    made = Store()
    for value in ("a" * 40 + "!", "b"):
        for second in range(60):
            made.append(pack({"__name__": "up", "pod": value}), 1_000_000 + second * 1000, second)
    return made


DEEP = {
    "or": "up" + " or up" * 20_000,
    "times": "1" + "*1" * 20_000,
    "equals": "up" + "==up" * 20_000,
    "negative": "-" * 20_000 + "1",
    "brackets": "(" * 20_000 + "1" + ")" * 20_000,
    "ranges": "up" + "[5m:]" * 20_000,
    "sums": "sum(" * 20_000 + "up" + ")" * 20_000,
    "words": "up" + " AND up" * 20_000,
    "behind a comment": '# "\n' + "1" + "*1" * 20_000 + '# "',
}


@pytest.mark.parametrize("name", DEEP)
def test_deep(name: str) -> None:
    """An expression of thousands of parts is refused; the parser would end the whole process."""
    with pytest.raises(QueryError, match="brackets and signs"):
        parse(DEEP[name])


def test_long_choice(store: Store) -> None:
    """Hundreds of names with hyphens, as a board with many pods asks for them, are no signs."""
    names = "|".join(f"images-7d9f-{place}-x" for place in range(500))

    assert isinstance(instant(store, parse(f'up{{pod=~"{names}"}}'), 1_060_000), frame.Frame)


@pytest.mark.parametrize(
    "pattern", ["(a+)+", "(a|a)*b", "(a|aa)(a|aa)(a|aa)(a|aa)*", "(.*a){20}", ".*.*.*.*.*=", "(a?){40}a{40}"]
)  # fmt: skip
def test_patterns(pattern: str, store: Store) -> None:
    """A pattern on which Python's engine would not come to an end is matched at once, by another."""
    found = instant(store, parse(f'up{{pod=~"{pattern}"}}'), 1_060_000)
    replaced = instant(store, parse(f'label_replace(up, "x", "<$1>", "pod", "{pattern}|(b)")'), 1_060_000)  # fmt: skip

    assert not gentle(pattern)
    assert isinstance(found, frame.Frame)
    assert [] == [one for one in found.labels if dict(one)["pod"] != "b"]
    assert isinstance(replaced, frame.Frame)


@pytest.mark.parametrize("pattern", ["a|b", ".*", "(.*)-(.*)", "(?:x|y).+", "5..", "[^/]+/x"])
def test_usual_patterns(pattern: str) -> None:
    """What boards and rules ask for needs no second engine, and both give the same."""
    usual = compiled(pattern)
    other = replace(usual, gentle=False)

    assert usual.gentle
    for text in ("a", "xy", "x-y", "a-b-c", "503", "n/x", "", "a\nb", "é"):
        assert usual.matches(text) == other.matches(text)
        assert usual.expanded("$1:${2}0\\$$", text) == other.expanded("$1:${2}0\\$$", text)


def test_spent(monkeypatch: pytest.MonkeyPatch, store: Store) -> None:
    """Many parts of a query, each within bounds, do not make up one without."""
    steps = np.arange(1_000_000, 1_060_000, 1000, dtype=np.int64)
    monkeypatch.setattr(frame, "MOST_SPENT", 500)
    few = ranged(store, parse("up + up"), steps)

    with pytest.raises(QueryError, match="fewer series"):
        ranged(store, parse("up + (up + (up + (up + (up + (up + (up + up))))))"), steps)
    assert 2 == len(few.labels)


def test_time(store: Store) -> None:
    """A query that takes too long is given up, not waited for."""
    late = Options(until=time.monotonic() - 1)

    with pytest.raises(QueryError, match="takes too long"):
        instant(store, parse("rate(up[5m])"), 1_060_000, late)


def test_selectors_of_many(store: Store) -> None:
    """Looking for the selectors of a long expression takes no longer than evaluating it."""
    client = TestClient(Api(Keeper(store)).app())
    expression = "sum(" * 60 + "up" + ")" * 60 + " or up" * 300
    found = client.post("/api/v1/series", data={"match[]": expression}).json()

    assert 2 == len(found["data"])


@pytest.mark.parametrize(
    "asked",
    [{"query": "up\x00"}, {"query": "\udc80"}, {"query": "9" * 5000}, {"query": "up", "time": "nan"}, {"query": "up offset 100000000y"}, {"query": "up @ 1e300"}, {"query": "up @ -1e18"}, {"query": "sum_over_time(up[5y:1ms])"}, {"query": "up[5y:1ms]"}, {"query": "up[5m] offset 100000000y"}, {"query": "year(vector(1e300))"}, {"query": "rate(up[99999999999999999999y])"}, {"query": "{" * 5000}, {"query": 'up{pod=~"' + "a" * 70_000 + '"}'}, {"query": "count_values('a\n', up)"}, {"query": 'up{pod=~"((a{1000}){1000}){1000}"}'}],
)  # fmt: skip
def test_nonsense(asked: dict[str, str], store: Store) -> None:
    """Whatever is asked, the answer is one of Prometheus's, never a fault of ours."""
    body = "&".join(f"{name}={value}" for name, value in asked.items()).encode("utf-8", "surrogateescape")  # fmt: skip
    answer = TestClient(Api(Keeper(store)).app()).post("/api/v1/query", content=body)

    assert answer.status_code in (200, 400)
    assert len(answer.content) < 5000


def test_large_question(store: Store) -> None:
    """A question of many megabytes is not read to its end."""
    answer = TestClient(Api(Keeper(store)).app()).post("/api/v1/query", content=b"a" * (2 << 20))

    assert 413 == answer.status_code
