"""What a query of localprom gives, and what it refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lightmeter.errors import QueryError
from lightmeter.localprom.evaluate import Options
from lightmeter.localprom.frame import Frame
from lightmeter.localprom.labels import Labels, pack
from lightmeter.localprom.query import MOST_STEPS, instant, parse, ranged, samples
from lightmeter.localprom.store import STALE, Store


def stored(**series: list[tuple[int, float]]) -> Store:
    """Make a store; times are seconds."""
    store = Store()
    for name, points in series.items():
        for seconds, value in points:
            store.append(pack({"__name__": name}), seconds * 1000, value)
    return store


def ask(store: Store, text: str, seconds: int, options: Options | None = None) -> dict[Labels, float]:  # fmt: skip
    """Ask at one moment."""
    found = instant(store, parse(text), seconds * 1000, options)
    assert isinstance(found, Frame)
    return {labels: float(values[0]) for labels, values in zip(found.labels, found.values, strict=True)}  # fmt: skip


def test_range_is_left_open_as_in_prometheus_3() -> None:
    """A range of one minute over samples 15 s apart holds four of them, not five."""
    store = stored(up=[(at, 1) for at in range(0, 300, 15)])

    assert {(): 4.0} == ask(store, "count_over_time(up[1m])", 120)
    assert {(): 5.0} == ask(store, "count_over_time(up[1m])", 120, Options(newer=False))


def test_lookback_is_left_open_as_in_prometheus_3() -> None:
    """A sample that is exactly five minutes old is forgotten; in Prometheus 2 it was not."""
    store = stored(level=[(0, 7)])

    assert [7.0] == list(ask(store, "level", 299).values())
    assert {} == ask(store, "level", 300)
    assert [7.0] == list(ask(store, "level", 300, Options(newer=False)).values())


def test_marker_ends_a_series() -> None:
    """A series that a target no longer exposes is gone at once, and a range does not count its end."""
    store = stored(level=[(0, 7), (15, STALE)])

    assert {} == ask(store, "level", 20)
    assert {(): 1.0} == ask(store, "count_over_time(level[1m])", 20)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("holt_wint(level[5m], 0.5, 0.5)", "holt_wint"),
        ("double_exponential_smoothing(level[5m], 0.5, 0.5)", "double_exponential_smoothing"),
        ("mad_over_time(level[5m])", "mad_over_time"),
        ("info(level)", "info"),
        ("limitk(2, level)", "limitk"),
        ("level + fill(0) level", "fill"),
        ('{a="b" or c="d"}', "or"),
        ('level{a=~"[[:alpha:]]+"}', "[[:alpha:]]"),
        ('label_replace(level, "a-b", "", "c", "")', "a-b"),
        ('label_replace(level, "a", "", "c", "(")', "("),
        ('label_replace(level, "a", "", "c", "(?!x)y")', "(?!x)"),
        ("sum(", "sum("),
        ("level[5m]", "level{}[5m]"),
        ("level == 1 == bool 1 and", "and"),
        ("(" * 2000, "1000"),
        ("-(" * 490 + "level" + ")" * 490, "deep"),
    ],
)
def test_refusals(text: str, named: str) -> None:
    """What cannot be evaluated is refused in one line that names it, never answered wrongly."""
    with pytest.raises(QueryError) as refusal:
        ask(stored(level=[(0, 1)]), text, 10)

    assert named in str(refusal.value)


def test_ambiguous_pairs_are_refused() -> None:
    """Two series where one is wanted are an error, as in Prometheus, rather than a guess."""
    store = Store()
    for number in "12":
        store.append(pack({"__name__": "level", "number": number}), 0, 1)
        store.append(pack({"__name__": "other", "number": number}), 0, 1)

    with pytest.raises(QueryError, match="many-to-many"):
        ask(store, "level * on () group_left other", 10)
    with pytest.raises(QueryError, match="group_left"):
        ask(store, 'level + on () other{number="1"}', 10)
    with pytest.raises(QueryError, match="same labelset"):
        ask(store, 'label_replace(level, "number", "", "number", ".*")', 10)


def test_too_many_steps_are_refused() -> None:
    """A range with a step that is too short is refused before it is worked on."""
    with pytest.raises(QueryError, match="11,000"):
        ranged(Store(), parse("time()"), np.arange(MOST_STEPS + 1, dtype=np.int64))
    with pytest.raises(QueryError, match="longer step"):
        ask(Store(), "sum_over_time(vector(1)[1y:1s])", 10)


def test_sorted_answers_are_in_order() -> None:
    """`sort`, `sort_desc` and `topk` answer in the order that a table shows; NaN comes last."""
    store = stored(a=[(0, 2)], b=[(0, math.nan)], c=[(0, 3)], d=[(0, 1)])

    def names(text: str) -> str:
        return "".join(dict(labels)["__name__"] for labels in ask(store, text, 10))

    assert "dacb" == names('sort({__name__=~".+"})')
    assert "cadb" == names('sort_desc({__name__=~".+"})')
    assert "ca" == names('topk(2, {__name__=~".+"})')
    assert "da" == names('bottomk(2, {__name__=~".+"})')


def test_nothing_stored_is_nothing_found() -> None:
    """An empty store answers with emptiness, and `absent` says so."""
    assert {} == ask(Store(), "sum(rate(level[5m])) / 2", 10)
    assert {(("job", "a"),): 1.0} == ask(Store(), 'absent(level{job="a"})', 10)
    assert [] == samples(Store(), parse("level[5m]"), 10_000)


def test_samples_of_a_range() -> None:
    """The samples themselves are found where a range is asked for at one moment."""
    store = stored(level=[(0, 1), (15, 2), (30, 3)])

    ((labels, times, values),) = samples(store, parse("level[20s]"), 30_000)

    assert pack({"__name__": "level"}) == labels
    assert [15_000, 30_000] == times.tolist()
    assert [2, 3] == values.tolist()


def test_templates_of_labels() -> None:
    """Groups are filled in as in Go: `$1`, `${1}`, `$$`, and nothing for a group that is not there."""
    store = stored(level=[(0, 1)])

    text = 'label_replace(level, "a", "${1}x-$$-$2-$word", "__name__", "(?P<word>l).*")'

    assert "lx-$--l" == dict(next(iter(ask(store, text, 10))))["a"]


def test_extreme_numbers_are_answers() -> None:
    """Infinities and the largest numbers give what arithmetic gives, and no error."""
    store = stored(level=[(0, math.inf), (15, -math.inf), (30, 1e308), (45, 1e308), (60, 1e308)])

    for name in ("stddev_over_time", "stdvar_over_time", "deriv", "sum_over_time", "rate"):
        assert 1 == len(ask(store, f"{name}(level[2m])", 60)), name
        assert 1 == len(ask(store, f"{name}(level[40s])", 60)), name
    assert 1 == len(ask(store, "predict_linear(level[40s], 1e300)", 60))
    assert 1 == len(ask(store, "stddev(level)", 60))
    assert 1 == len(ask(stored(level=[(0, 1), (15, 2)]), "predict_linear(level[1m] offset 300y, 1)", 300 * 365 * 86_400 + 20))  # fmt: skip
