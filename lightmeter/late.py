"""Facts that come after the answer: ratings. Appended at once, joined when the history is read.

``DIR/_late/STEM.jsonl`` holds the ratings that one server process took, a line for each; what such
a file survives is said in `lightmeter.lines`. The files are never rewritten, so a rating does not
care whether its row is still in a journal, sealed, or another server's. Of several ratings of one
request the newest counts. Standard library only.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from lightmeter import lines
from lightmeter.errors import HistoryError, explain
from lightmeter.lines import LineFile, Lines
from lightmeter.rows import INTEGERS, in_utc


FOLDER = "_late"
"""The underscore keeps other engines (Spark, pyarrow, DuckDB) from reading it as data."""
LEAST_STARS, MOST_STARS = 1, INTEGERS["feedback"]


@dataclass(frozen=True, kw_only=True)
class Rating:
    """What a user thought of a request's pictures; ``score`` in stars, 1 to 5."""

    request_id: str
    at: datetime
    """When the rating came, in UTC."""
    score: int
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ratings:
    """The newest rating of each request, by its id, and what was dropped on the way."""

    newest: dict[str, Rating] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class LateFile:
    """One process's late file; it appears with the first rating. Safe to use from many threads."""

    def __init__(self, history: Path, *, fsync: bool = False) -> None:
        self._folder = history / FOLDER
        self._fsync = fsync
        self._file: LineFile | None = None
        self._lock = threading.Lock()

    def append(self, rating: Rating) -> None:
        """Put the rating on the file; when this returns, it outlives the process.

        Raises:
            HistoryError: the disk refuses it.
        """
        with self._lock:
            try:
                self._file = self._file or LineFile(self._folder, fsync=self._fsync)
                self._file.append(_as_json(rating))
            except OSError as error:
                raise HistoryError(
                    f"late file in {str(self._folder)!r} {explain(error)}"
                ) from error

    def close(self) -> None:
        """Give up the lock."""
        if self._file:
            self._file.close()


def ratings(history: Path) -> Ratings:
    """Read the ratings of a history folder; last lines that a crash cut short are dropped and told.

    Raises:
        HistoryError: a file is unreadable, or a line before the last is no rating.
    """
    found = Ratings()
    for path in lines.files(history / FOLDER):
        late = lines.read(path, "a rating")
        if late.torn and not lines.is_live(path):
            found.notes.append(f"{path}: the last rating was cut short by a crash and is left out")
        for number, values in late.values:
            rating = from_json(values, f"{path.name} line {number}")
            known = found.newest.get(rating.request_id)
            if known is None or known.at <= rating.at:
                found.newest[rating.request_id] = rating
    return found


def _as_json(rating: Rating) -> dict[str, Any]:
    return {
        "request_id": rating.request_id,
        "at": in_utc(rating.at).isoformat(timespec="microseconds"),
        "score": rating.score,
        "tags": list(rating.tags),
    }


def of_file(path: Path) -> Lines:
    """Read one late file, whose every line must be a rating.

    Raises:
        HistoryError: it is unreadable, or a line before the last is no rating.
    """
    found = lines.read(path, "a rating")
    for number, values in found.values:
        from_json(values, f"{path.name} line {number}")
    return found


def from_json(values: dict[str, Any], where: str) -> Rating:
    """Build a rating from a line of a late file.

    Raises:
        HistoryError: it is none.
    """
    try:
        at = in_utc(datetime.fromisoformat(values["at"]))
        name, score, tags = values["request_id"], values["score"], tuple(values.get("tags", ()))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise HistoryError(f"{where}: not a rating ({error}); see docs/history.md") from error
    whole = isinstance(name, str) and name and all(isinstance(tag, str) for tag in tags)
    if not whole or type(score) is not int or not LEAST_STARS <= score <= MOST_STARS:
        raise HistoryError(
            f"{where}: not a rating (request_id {name!r}, score {score!r}); see docs/history.md"
        )
    return Rating(request_id=name, at=at, score=score, tags=tags)
