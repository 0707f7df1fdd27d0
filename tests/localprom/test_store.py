"""What localprom keeps, for how long, and what it does when full."""

from __future__ import annotations

import numpy as np

from lightmeter.localprom.labels import Labels, pack
from lightmeter.localprom.store import Kept, Match, Store


def named(name: str, **labels: str) -> Labels:
    return pack({"__name__": name, **labels})


def test_full_store_goes_on_with_what_it_knows() -> None:
    """A flood of new series is refused and counted; known series are not disturbed."""
    store = Store(most_series=2)

    assert Kept.YES == store.append(named("a"), 0, 1)
    assert Kept.YES == store.append(named("b"), 0, 1)
    assert Kept.FULL == store.append(named("c"), 0, 1)
    assert Kept.YES == store.append(named("a"), 1, 2)
    assert 1 == store.refused


def test_samples_are_kept_in_order() -> None:
    """A sample that is not newer than the last is refused, so that no counter runs backwards."""
    store = Store()

    assert Kept.YES == store.append(named("a"), 10, 1)
    assert Kept.OLD == store.append(named("a"), 10, 2)
    assert Kept.OLD == store.extend(named("a"), np.array([5, 15]), np.array([0.0, 3.0]))
    assert [10, 15] == store.select([])[0].read()[0].tolist()


def test_the_past_is_forgotten() -> None:
    """What is older than the retention goes, and with its last sample a series."""
    store = Store(retention_ms=1000)
    for at in range(0, 5000, 10):
        store.append(named("a"), at, at)
    store.append(named("b"), 0, 1)

    store.forget(5000)

    assert ["a"] == store.metrics()
    assert 4000 == store.select([])[0].read()[0][0]
    assert 100 == len(store.select([])[0])


def test_what_a_reader_holds_stays() -> None:
    """A query that is under way sees no sample change below it."""
    store = Store(retention_ms=100)
    for at in range(50):
        store.append(named("a"), at, at)
    times, values = store.select([])[0].read()

    for at in range(50, 5000):
        store.append(named("a"), at, -1)
    store.forget(5000)

    assert list(range(50)) == times.tolist()
    assert list(range(50)) == values.tolist()


def test_series_are_found_by_labels() -> None:
    """Each kind of condition finds what it should; a label that is missing counts as empty."""
    store = Store()
    for labels in (named("a", x="1"), named("a", x="2"), named("b", y="1"), named("a")):
        store.append(labels, 0, 1)

    def found(*matches: Match) -> list[Labels]:
        return [series.labels for series in store.select(matches)]

    assert [named("a", x="1")] == found(Match("__name__", "=", "a"), Match("x", "=", "1"))
    assert [named("a"), named("b", y="1")] == found(Match("x", "=", ""))
    assert [named("a", x="1"), named("a", x="2")] == found(Match("x", "=~", "1|2"))
    assert [named("a"), named("b", y="1")] == found(Match("x", "!~", ".+"))
    assert [named("a"), named("a", x="2"), named("b", y="1")] == found(Match("x", "!=", "1"))
    assert [] == found(Match("__name__", "=", "c"))
    assert ["1", "2"] == store.values("x")
    assert ["__name__", "x", "y"] == store.names()
