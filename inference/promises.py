"""A 429 as a promise: who comes back when told finds a place.

Each refusal takes the next free place after those promised before it, so that no two clients are
told the same moment, and newcomers do not take a place that a returning client is due. A returning
request is known by its bytes: a retry sends the same body with the same key. Promises that nobody
returns for cost nothing for long: the share that do return is measured, and only that share of the
places is kept.
"""

from __future__ import annotations

import bisect
import hashlib
import itertools
import math
from collections import deque
from dataclasses import dataclass


EARLY_SECONDS = 0.5
"""A client that returns this early is on time: clocks and timers round."""
GRACE_SECONDS = 5.0
"""How long after its moment a place is kept."""
MOST_SECONDS = 600.0
"""Longest time that a client is sent away for."""
MOST_PROMISES = 20_000
_WEIGHT = 0.05


def fingerprint(tenant: str | None, body: bytes) -> bytes:
    """Know a request again when it returns; 16 bytes, kept for as long as its promise."""
    return hashlib.blake2b(body, digest_size=16, key=(tenant or "").encode()[:64]).digest()


@dataclass(frozen=True, order=True)
class _Promise:
    due: float
    number: int
    mark: bytes


class Promises:
    """What was promised and not yet redeemed. Times are seconds of one clock, passed in."""

    def __init__(self) -> None:
        self._by_mark: dict[bytes, deque[_Promise]] = {}
        self._in_order: list[_Promise] = []
        self._numbers = itertools.count()
        self.return_ratio = 1.0
        """Share of the promises that clients came back for, a moving average."""

    def __len__(self) -> int:
        return len(self._in_order)

    def refuse(self, mark: bytes, now: float, place_seconds: float) -> float:
        """Promise the next free place; return the whole seconds after which to come back.

        ``place_seconds`` is how often a place gets free.
        """
        self._expire(now)
        ahead = len(self) * self.return_ratio + 1
        wait = min(max(1, math.ceil(ahead * place_seconds)), MOST_SECONDS)
        if len(self) < MOST_PROMISES:
            promise = _Promise(now + wait, next(self._numbers), mark)
            self._by_mark.setdefault(mark, deque()).append(promise)
            bisect.insort(self._in_order, promise)
        return wait

    def redeem(self, mark: bytes, now: float) -> bool:
        """Tell whether this request returns as it was told to; its promise is then kept."""
        self._expire(now)
        mine = self._by_mark.get(mark)
        if not mine or mine[0].due - EARLY_SECONDS > now:
            return False
        self._close(mine[0], kept=True)
        return True

    def due_within(self, seconds: float, now: float) -> float:
        """Places to keep for those who will come back within so many seconds."""
        self._expire(now)
        coming = bisect.bisect_right(self._in_order, now + seconds, key=lambda one: one.due)
        return coming * self.return_ratio

    def _expire(self, now: float) -> None:
        while self._in_order and self._in_order[0].due + GRACE_SECONDS < now:
            self._close(self._in_order[0], kept=False)

    def _close(self, promise: _Promise, *, kept: bool) -> None:
        self.return_ratio += _WEIGHT * (kept - self.return_ratio)
        del self._in_order[bisect.bisect_left(self._in_order, promise)]
        mine = self._by_mark[promise.mark]
        mine.remove(promise)
        if not mine:
            del self._by_mark[promise.mark]
