"""How many requests are at our hands: they wait, are made, encoded or recorded."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

from prometheus_client import Gauge


class Inside:
    """Counts them, on a gauge too."""

    def __init__(self, gauge: Gauge) -> None:
        self.count = 0
        self._gauge = gauge
        self._left = asyncio.Event()

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """Count a request for as long as it is there."""
        self.count += 1
        try:
            with self._gauge.track_inprogress():
                yield
        finally:
            self.count -= 1
            self._left.set()

    async def nobody(self) -> None:
        """Wait until all have left."""
        while self.count:
            self._left.clear()
            await self._left.wait()
