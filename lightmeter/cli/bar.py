"""The progress of a load on a terminal: a bar, and how it goes so far."""

from __future__ import annotations

import time
from collections import Counter
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from inference.load.arrivals import Window
from inference.load.drive import Done, End
from lightmeter.units import show_duration


class Bar:
    """Fills with the time or the number of requests, whichever is further."""

    def __init__(self, *, seconds: float, requests: int) -> None:
        """Prepare; 0 is no limit."""
        self._seconds = seconds
        self._requests = requests
        self._ends: Counter[End] = Counter()
        self._warmed = 0
        self._window: Window | None = None
        self._began = time.monotonic()
        self._live = Live(get_renderable=self._line, console=Console(stderr=True), transient=True)

    def ready(self, window: Window) -> None:
        """Take note that the first request is about to leave."""
        self._window, self._began = window, time.monotonic()

    def record(self, done: Done) -> None:
        """Count a request that ended."""
        if done.warmup:
            self._warmed += 1
        else:
            self._ends[done.end] += 1

    def _line(self) -> Table:
        elapsed = time.monotonic() - self._began
        line = Table.grid(padding=(0, 2))
        line.add_row(
            ProgressBar(total=1.0, completed=self._share(elapsed), width=30),
            show_duration(elapsed),
            self._words(),
        )
        return line

    def _share(self, elapsed: float) -> float:
        if self._window is None or self._window.began is None:
            return 0.0
        ended = self._ends.total()
        in_time = (elapsed - self._window.began) / self._seconds if self._seconds else 0.0
        return min(1.0, max(in_time, ended / self._requests if self._requests else 0.0))

    def _words(self) -> str:
        if self._window is None:
            return "looking for the server"
        if not self._ends:
            return f"warm-up, {self._warmed} ended" if self._warmed else "no answer yet"
        return ", ".join(f"{count:,} {end}" for end, count in sorted(self._ends.items()))

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()
