"""Clocks that are set: told apart from time that passes."""

from __future__ import annotations

import logging
from collections.abc import Callable


_log = logging.getLogger(__name__)
SECONDS = 2.0
"""A clock that goes further than this from one that never jumps has been set."""


class Jumps:
    """Watches how far ``clock`` is from ``steady``, which never jumps; both in seconds."""

    def __init__(self, clock: Callable[[], float], steady: Callable[[], float]) -> None:
        self._clock, self._steady = clock, steady
        self._apart = clock() - steady()

    def since(self) -> float:
        """Say by how much the clock was set since this was asked last, seconds; 0 where it was not."""
        by = self._clock() - self._steady() - self._apart
        if abs(by) <= SECONDS:
            return 0.0
        _log.warning("the clock was set by %+.0f s; holds go on as if it were not", by)
        self._apart += by
        return by
