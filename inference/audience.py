"""How many people use the server right now, without knowing who they are."""

from __future__ import annotations

from collections import OrderedDict


WINDOW_SECONDS = 300.0
MOST_USERS = 100_000


class Audience:
    """Distinct users of the last five minutes; only hashes are kept. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._seen: OrderedDict[int, float] = OrderedDict()

    def saw(self, user: tuple[str | None, ...], now: float) -> None:
        """Note that somebody asked."""
        key = hash(user)
        self._seen[key] = now
        self._seen.move_to_end(key)
        if len(self._seen) > MOST_USERS:
            self._seen.popitem(last=False)

    def count(self, now: float) -> int:
        """Count the users of the last five minutes."""
        return sum(at > now - WINDOW_SECONDS for at in list(self._seen.values()))
