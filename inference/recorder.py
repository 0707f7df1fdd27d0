"""Usage rows of this server: onto the journal at once, into Parquet by and by."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from pathlib import Path

from lightmeter.errors import HistoryError
from lightmeter.journal import Journal, journals
from lightmeter.lines import is_live
from lightmeter.rows import UsageRow


_log = logging.getLogger(__name__)
MOST_RECENT = 20_000
"""Request ids that are remembered."""


class Recorder:
    """Appends rows to a journal; seals it in a thread every ``seal_rows`` rows and at the end."""

    def __init__(self, history: Path, *, seal_rows: int, fsync: bool) -> None:
        """Open a fresh journal and seal what dead processes left.

        Raises:
            HistoryError: the folder cannot be written.
        """
        self._history = history
        self._seal_rows = self._due = seal_rows
        self._fsync = fsync
        self._journal = Journal(history, fsync=fsync)
        self._recent: OrderedDict[str, None] = OrderedDict()
        self._sealer = self._in_background()

    def append(self, row: UsageRow) -> None:
        """Record one request; when this returns, the row outlives the process.

        Raises:
            HistoryError: the disk refuses it.
        """
        self._journal.append(row)
        self._recent[row.request_id] = None
        if len(self._recent) > MOST_RECENT:
            self._recent.popitem(last=False)
        if self._journal.rows >= self._due and not self._sealer.is_alive():
            self._rotate()

    def is_recent(self, request_id: str) -> bool:
        """Tell whether the request is among the latest that were recorded here."""
        return request_id in self._recent

    def _rotate(self) -> None:
        """Go on with a fresh journal; where that fails the old one grows, and nothing is lost."""
        try:
            fresh = Journal(self._history, fsync=self._fsync)
        except HistoryError as error:
            _log.warning("the journal is not sealed: %s", error)
            self._due = self._journal.rows + self._seal_rows
            return
        self._due = self._seal_rows
        full, self._journal = self._journal, fresh
        full.close()
        self._sealer = self._in_background()

    def close(self) -> None:
        """Seal everything; blocks until it is done."""
        self._journal.close()
        self._sealer.join()
        self._seal()

    def _in_background(self) -> threading.Thread:
        thread = threading.Thread(target=self._seal, name="sealer", daemon=True)
        thread.start()
        return thread

    def _seal(self) -> None:
        if all(map(is_live, journals(self._history))):
            return  # nothing to do, so pyarrow need not be loaded
        from lightmeter import history

        history.seal_orphans(self._history)
