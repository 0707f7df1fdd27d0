"""What lies in a picture store, and what of it has to go."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from inference.shelf import Entry


MOST_FILES = 100_000
"""Files, whatever their size: they are listed once a minute, which takes about a second."""


@dataclass(frozen=True)
class Bounds:
    """What a store may hold: bytes in all, and seconds for each file."""

    most_bytes: int
    most_seconds: float


class Stock:
    """Files by name, the oldest first, summed as they come and go: no file costs a walk through all."""

    def __init__(self, bounds: Bounds, entries: Iterable[Entry] = ()) -> None:
        self._bounds = bounds
        self._entries: dict[str, Entry] = {}
        self._bytes = 0
        for entry in sorted(entries, key=lambda entry: (entry.at, entry.name)):
            self.add(entry)

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def add(self, entry: Entry) -> None:
        """Take in a file, the newest."""
        self.drop(entry.name)
        self._entries[entry.name] = entry
        self._bytes += entry.size

    def drop(self, name: str) -> Entry | None:
        """Strike a file off; None where it is not here."""
        entry = self._entries.pop(name, None)
        self._bytes -= entry.size if entry else 0
        return entry

    def drop_surplus(self, now: float) -> list[Entry]:
        """Strike off what is too old, then the oldest until the rest fits; return it."""
        gone = []
        while (oldest := next(iter(self._entries.values()), None)) and self._is_surplus(
            oldest, now
        ):
            self.drop(oldest.name)
            gone.append(oldest)
        return gone

    def _is_surplus(self, oldest: Entry, now: float) -> bool:
        too_much = self._bytes > self._bounds.most_bytes or len(self._entries) > MOST_FILES
        return too_much or now - oldest.at > self._bounds.most_seconds
