"""A 429 as a promise: who comes back when told finds a place."""

from __future__ import annotations

import heapq
from collections import Counter
from typing import Any

import pytest

from inference.keys import Tenant
from inference.limits import Limits
from inference.promises import (
    GRACE_SECONDS,
    MOST_PROMISES,
    MOST_SECONDS,
    Books,
    Promises,
    fingerprint,
)
from lightmeter.catalog import Priority
from support.overload import Kind, Play


def test_one_after_the_other() -> None:
    """Clients that are refused together are told to come one by one, as places get free."""
    book = Promises()
    waits = [book.refuse(bytes([number]), 0.0, place_seconds=2.0) for number in range(40)]

    assert sorted(waits) == waits
    assert 2.0 == waits[0]
    assert 1 == max(map(waits.count, waits))
    assert 80 >= waits[-1]


def test_even() -> None:
    """However they come, no second is promised to more clients than there will be places for."""
    book, out, seconds = Promises(), [0.0], Counter[int]()
    for number in range(4000):
        now = number / 80
        while out and out[0] <= now:
            book.redeem(b"x", heapq.heappop(out))
        due = now + book.refuse(b"x", now, place_seconds=1 / 40)
        heapq.heappush(out, due)
        seconds[int(due)] += 1

    assert 42 >= max(seconds.values())
    assert 33 < sum(seconds[second] for second in range(10, 40)) / 30


def test_on_time() -> None:
    """A client that returns when told is known; early, late, twice or with another body it is new."""
    book = Promises()
    wait = book.refuse(b"one", 0.0, place_seconds=10.0)
    for mark in (b"two", b"three", b"four", b"five"):
        wait = book.refuse(mark, 0.0, place_seconds=10.0)

    assert not book.redeem(b"two", wait - 10)
    assert not book.redeem(b"another", wait)
    assert book.redeem(b"five", wait - 0.4)
    assert not book.redeem(b"five", wait)
    assert not book.redeem(b"two", wait + 100)


def test_same_body() -> None:
    """Clients that send the same body each have a promise of their own."""
    book = Promises()
    waits = [book.refuse(b"same", 0.0, place_seconds=1.0) for _ in range(10)]

    assert [True] * 10 == [book.redeem(b"same", wait) for wait in waits]
    assert not book.redeem(b"same", waits[-1])


def test_never_returned() -> None:
    """Clients that never come back are soon not waited for: the next are told to come at once."""
    book, now = Promises(), 0.0
    first = [book.refuse(bytes([number]), now, place_seconds=1.0) for number in range(100)]
    now += first[-1] + GRACE_SECONDS + 1
    later = [book.refuse(bytes([number]), now, place_seconds=1.0) for number in range(100)]

    assert first[-1] >= 100
    assert later[-1] < 10


def test_gave_up() -> None:
    """A client that came when told, in vain, and then gives up, does not count as one that never came."""
    book = Promises()
    for number in range(100):
        book.refuse(bytes([number]), 0.0, place_seconds=0.01, again=True)
    book.expire(1e6)

    assert (1.0, 0) == (book.return_ratio, len(book))


def test_far() -> None:
    """Nobody is sent away for more than an hour, and beyond that nothing is promised."""
    book = Promises()
    waits = {book.refuse(bytes([number]), 0.0, place_seconds=600.0) for number in range(100)}

    assert MOST_SECONDS == max(waits)
    assert len(book) < 10


def test_memory() -> None:
    """A flood of refusals over many tenants keeps no more promises than there is room for."""
    books = Books()
    for number in range(MOST_PROMISES + 500):
        flow = (Priority.BATCH, str(number % 7))
        books.refuse(flow, number.to_bytes(4, "big"), 0.0, place_seconds=0.001, again=False)

    assert MOST_PROMISES == len(books)
    assert books.due(0.0, by=4000.0)
    assert not books.due(1e6, by=2e6)


def test_fingerprint() -> None:
    """A request is known by its tenant and its bytes."""
    marks = {fingerprint(tenant, body) for tenant in (None, "a", "b") for body in (b"1", b"2")}

    assert 6 == len(marks)
    assert fingerprint("a", b"1") in marks


ROOMS: list[tuple[str, dict[str, Any]]] = [
    ("bound", {"max_wait": 5.0, "queue": 100_000}),
    ("queue", {"max_wait": 0.0, "queue": 64}),
]


def played(*kinds: Kind, seconds: float = 60.0, workers: int = 1, **limits: Any) -> Play:
    wanted = {"concurrency": 64, "queue": 100_000, "batch": 4, "max_wait": 0.0} | limits
    play = Play(list(kinds), Limits(**wanted), workers=workers)
    play.run(seconds)
    return play


@pytest.mark.parametrize("limits", [room[1] for room in ROOMS], ids=[room[0] for room in ROOMS])
@pytest.mark.parametrize("returning", [1.0, 0.5, 0.1])
def test_kept(limits: dict[str, Any], returning: float) -> None:
    """At three times the capacity, four fifths of those who come back when told find a place."""
    play = played(Kind(120, return_ratio=returning), **limits)

    [seen] = play.seen
    assert 0.8 < seen.first_retry_ratio
    assert seen.counts["refused"] > 3000
    assert max(seen.waits) < 5.0
    assert play.longest <= limits["queue"]


@pytest.mark.parametrize("limits", [room[1] for room in ROOMS], ids=[room[0] for room in ROOMS])
def test_busy_without_returns(limits: dict[str, Any]) -> None:
    """Where nobody ever comes back, no place stands empty: the worker works all the time."""
    play = played(Kind(120, return_ratio=0.0), **limits)

    assert 0.99 * play.now < play.busy
    assert 2300 < len(play.seen[0].waits)  # 40 a second, in batches as full as ever


def test_kept_mixed() -> None:
    """So it is with shapes that take four times as long as others, and with two classes."""
    play = played(Kind(60), Kind(20, 0.2), Kind(20, priority=Priority.BATCH), max_wait=5.0)

    assert [True] * 3 == [0.8 < seen.first_retry_ratio for seen in play.seen]
    assert max(max(seen.waits) for seen in play.seen) < 5.5


def test_kept_slow() -> None:
    """So it is where a picture takes two seconds, and the room holds a few of them."""
    bound = played(Kind(1.5, 2.0), seconds=600, batch=1, max_wait=30.0)
    short = played(Kind(1.5, 2.0), seconds=600, batch=1, queue=8)

    assert 0.8 < min(play.seen[0].first_retry_ratio for play in (bound, short))
    assert max(bound.seen[0].waits) < 30.0


def test_many_workers() -> None:
    """So it is with four workers."""
    play = played(Kind(480), seconds=20, workers=4, max_wait=5.0)

    assert 0.8 < play.seen[0].first_retry_ratio
    assert max(play.seen[0].waits) < 5.0


@pytest.mark.parametrize("limits", [room[1] for room in ROOMS], ids=[room[0] for room in ROOMS])
def test_quiet_tenant(limits: dict[str, Any]) -> None:
    """A tenant that asks for little is never refused nor made to wait, whoever else floods."""
    noisy = [Kind(100, tenant=Tenant("one", 3.0)), Kind(100, tenant=Tenant("two"))]
    play = played(*noisy, Kind(1, tenant=Tenant("quiet")), **limits)

    assert {"let in"} == set(play.seen[2].counts)
    assert max(play.seen[2].waits) < 0.5
    assert 0.99 * 60 < play.busy


def test_classes() -> None:
    """Batch jobs that flood neither starve people nor are starved by them."""
    play = played(Kind(60), Kind(60, priority=Priority.BATCH), queue=64)

    people, jobs = play.seen
    assert 4 < len(people.waits) / len(jobs.waits) or len(jobs.waits) > 240
    assert people.counts["pushed out"] < 0.1 * people.counts["let in"]
