"""A 429 as a promise: who comes back when told finds a place.

Each refusal is told a moment of its own, after those promised before it and no faster than places
get free. A returning request is known by its bytes: a retry sends the same body with the same key.
The last part of the room is for those who return, so that newcomers, who fill the rest at once, do
not take a place that was promised. Nothing stands empty for those who do not come, and the share
that does come is measured, so that nobody is sent away for the sake of clients who never return.
"""

from __future__ import annotations

import bisect
import hashlib
import itertools
import math
from collections import deque
from typing import NamedTuple

from inference.tickets import Flow


EARLY_SECONDS = 0.5
"""A client that returns this early is on time: clocks and timers round."""
GRACE_SECONDS = 5.0
"""How long after its moment a client is still known."""
MOST_SECONDS = 3600.0
"""Longest time that a client is sent away for; nothing is promised beyond it."""
MOST_PROMISES = 20_000
_LOOK_FROM = 0.9
"""Part of the time that those expected would fill, from which on a free moment is looked for."""
_LEAST_SECONDS = 0.1
"""Clients who would come within so short a time may come at once."""
_ROUNDING = 1e-6
_WEIGHT = 0.05


def fingerprint(tenant: str | None, body: bytes) -> bytes:
    """Know a request again when it returns; 16 bytes, kept for as long as its promise."""
    return hashlib.blake2b(body, digest_size=16, key=(tenant or "").encode()[:64]).digest()


class _Promise(NamedTuple):
    due: float
    number: int
    mark: bytes
    again: bool
    """Whether the promise before it was broken."""


class Promises:
    """What was promised to one flow and not yet redeemed. Times are seconds of one clock, passed in."""

    def __init__(self) -> None:
        self._by_mark: dict[bytes, deque[_Promise]] = {}
        self._in_order: list[_Promise] = []
        self._numbers = itertools.count()
        self.return_ratio = 1.0
        """Share of the clients sent away that came back when told, a moving average."""
        self._looked_at, self._full_for = -math.inf, 1.0
        """A burst of refusals goes on looking where the last of them found a place."""

    def __len__(self) -> int:
        return len(self._in_order)

    @property
    def first_due(self) -> float:
        """When the first one may come."""
        return self._in_order[0].due if self._in_order else math.inf

    def refuse(
        self,
        mark: bytes,
        now: float,
        place_seconds: float,
        *,
        again: bool = False,
        keep: bool = True,
        least: float = 0.0,
    ) -> float:
        """Promise a place; return the whole seconds after which to come back, ``least`` of them.

        ``place_seconds`` is how often a place gets free. ``again`` says that the client had come
        when told. Without ``keep`` it will not be known when it returns.
        """
        self.expire(now)
        expected = len(self) * self.return_ratio * place_seconds
        if now - self._looked_at > _LEAST_SECONDS / 2:
            self._looked_at, self._full_for = now, 1.0
        wait = float(math.ceil(max(self._full_for, place_seconds, expected * _LOOK_FROM, least)))
        while wait < MOST_SECONDS and not self._free(now + wait, place_seconds):
            wait += 1.0
        self._full_for = wait
        if keep and wait < MOST_SECONDS:
            promise = _Promise(now + wait, next(self._numbers), mark, again)
            self._by_mark.setdefault(mark, deque()).append(promise)
            bisect.insort(self._in_order, promise)
        return min(wait, MOST_SECONDS)

    def _free(self, at: float, place_seconds: float) -> bool:
        """Tell whether one more may come then, after those before and before those after."""
        span = max(4.0, _LEAST_SECONDS / place_seconds)
        return all(
            (self._near(at, places * place_seconds) + 1) * self.return_ratio <= most
            for places, most in ((span, span), (span / 8, max(1.0, span / 8)))
        )

    def _near(self, at: float, seconds: float) -> int:
        """Count those due in so many seconds before a moment, or after it; the greater of both."""
        begin, here, end = (
            bisect.bisect_left(self._in_order, (edge,))
            for edge in (at - seconds + _ROUNDING, at, at + seconds - _ROUNDING)
        )
        return max(here - begin, end - here)

    def redeem(self, mark: bytes, now: float) -> bool:
        """Tell whether this request returns as it was told to; its promise is then closed."""
        self.expire(now)
        mine = self._by_mark.get(mark)
        if not mine or mine[0].due - EARLY_SECONDS > now:
            return False
        self._close(mine[0], came=True)
        return True

    def expire(self, now: float) -> None:
        """Forget those who did not come."""
        while self._in_order and self._in_order[0].due + GRACE_SECONDS < now:
            self._close(self._in_order[0], came=False)

    def _close(self, promise: _Promise, *, came: bool) -> None:
        if came or not promise.again:  # who gives up after a broken promise says nothing of others
            self.return_ratio += _WEIGHT * (came - self.return_ratio)
        del self._in_order[bisect.bisect_left(self._in_order, promise)]
        mine = self._by_mark[promise.mark]
        mine.remove(promise)
        if not mine:
            del self._by_mark[promise.mark]


class Books:
    """The promises of all flows, each with a book of its own, within one bound of memory."""

    def __init__(self) -> None:
        self._books: dict[Flow, Promises] = {}

    def __len__(self) -> int:
        return sum(map(len, self._books.values()))

    def refuse(
        self,
        flow: Flow,
        mark: bytes,
        now: float,
        place_seconds: float,
        *,
        again: bool,
        least: float = 0.0,
    ) -> float:
        """Promise a place to a flow, as `Promises.refuse` does."""
        book = self._books.setdefault(flow, Promises())
        keep = len(self) < MOST_PROMISES
        return book.refuse(mark, now, place_seconds, again=again, keep=keep, least=least)

    def redeem(self, flow: Flow, mark: bytes, now: float) -> bool:
        """Tell whether a request returns as it was told to."""
        return flow in self._books and self._books[flow].redeem(mark, now)

    def due(self, now: float, by: float) -> bool:
        """Tell whether anybody may come back until a moment."""
        for book in self._books.values():
            book.expire(now)
        return any(book.first_due <= by for book in self._books.values())
