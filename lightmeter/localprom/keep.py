"""Where samples go: into the store and, if there is one, onto the disk."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from lightmeter.localprom.archive import Archive
from lightmeter.localprom.exposition import Exemplar
from lightmeter.localprom.labels import Labels
from lightmeter.localprom.store import Kept, Store


MOST_EXEMPLARS = 20_000


class Keeper:
    """Keeps samples and exemplars; what the store refuses is not written either."""

    def __init__(self, store: Store, archive: Archive | None = None) -> None:
        self.store = store
        self.exemplars: deque[tuple[Labels, Exemplar]] = deque(maxlen=MOST_EXEMPLARS)
        self.about: dict[str, dict[str, str]] = {}
        self._last: dict[Labels, Exemplar] = {}
        self._archive = archive

    def write(self, time_ms: int, samples: Sequence[tuple[Labels, float]]) -> int:
        """Keep the samples of one moment; return how many were kept.

        Raises:
            HistoryError: the disk refuses them; memory has them all the same.
        """
        kept = [(labels, value) for labels, value in samples if self.store.append(labels, time_ms, value) is Kept.YES]  # fmt: skip
        if self._archive is not None and kept:
            self._archive.write(time_ms, kept)
        return len(kept)

    def remember(self, labels: Labels, exemplar: Exemplar) -> None:
        """Keep an exemplar, unless it is the one that the series showed last."""
        if self._last.get(labels) != exemplar:
            if len(self._last) > MOST_EXEMPLARS:
                self._last.clear()
            self._last[labels] = exemplar
            self.exemplars.append((labels, exemplar))

    def forget(self, now_ms: int) -> None:
        """Drop what is older than the store's retention."""
        self.store.forget(now_ms)
        if self._archive is not None:
            self._archive.forget(now_ms - self.store.retention_ms)
