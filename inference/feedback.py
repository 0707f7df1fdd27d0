"""Ratings by users: checked, matched with a request of the history, kept beside it."""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictStr, ValidationError

from inference.orders import explained
from inference.tickets import Refused
from lightmeter.catalog import ShedReason
from lightmeter.errors import InputError
from lightmeter.late import LEAST_STARS, MOST_STARS, LateFile, Rating


REQUEST_ID = re.compile(r"img_[0-9a-f]{24}", re.ASCII)
MOST_TAGS, LONGEST_TAG = 16, 64
MOST_REMEMBERED = 20_000
"""Rated requests that are remembered, so that a rating given again is not counted again."""
MOST_SEARCHES = 16
"""Ratings that may wait for a search of the history; they are searched one after the other."""
_Tag = Annotated[StrictStr, Field(min_length=1, max_length=LONGEST_TAG)]


class RatingRequest(BaseModel):
    """Body of ``POST /v1/feedback``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    request_id: StrictStr = Field(max_length=64, description="The id that the answer had.")
    score: int = Field(ge=LEAST_STARS, le=MOST_STARS, description="Stars, 1 to 5.")
    tags: Annotated[list[_Tag], Field(max_length=MOST_TAGS)] | None = Field(
        None, description="Short words of the user's."
    )


class UnknownRequest(InputError):  # noqa: N818  (an answer, not a fault)
    """No request of this id is in the history."""


class Feedback:
    """Takes the ratings. ``is_recent`` knows the latest requests without a search."""

    def __init__(
        self,
        history: Path,
        *,
        is_recent: Callable[[str], bool],
        observe: Callable[[int], None],
        search_seconds: float,
        fsync: bool,
    ) -> None:
        self._history = history
        self._is_recent = is_recent
        self._observe = observe
        self._search_seconds = search_seconds
        self._file = LateFile(history, fsync=fsync)
        self._rated: OrderedDict[str, None] = OrderedDict()
        self._searching = asyncio.Lock()
        self._searches = 0

    async def rate(self, body: bytes) -> Rating:
        """Take one rating; it is on disk when this returns. The first of a request is observed.

        Raises:
            InvalidRequest: 422. UnknownRequest: 404. Refused: the search takes too long.
            HistoryError: it cannot be written.
        """
        rating = read_rating(body)
        if not await self._exists(rating.request_id):
            raise UnknownRequest(
                f"request {rating.request_id!r} is not in the history of this server; give the id of its answer"
            )
        await asyncio.to_thread(self._file.append, rating)
        if rating.request_id not in self._rated:
            self._observe(rating.score)
        self._remember(rating.request_id)
        return rating

    def close(self) -> None:
        """Give up the late file."""
        self._file.close()

    def _remember(self, request_id: str) -> None:
        self._rated[request_id] = None
        self._rated.move_to_end(request_id)
        if len(self._rated) > MOST_REMEMBERED:
            self._rated.popitem(last=False)

    async def _exists(self, request_id: str) -> bool:
        if self._is_recent(request_id) or request_id in self._rated:
            return True
        return bool(REQUEST_ID.fullmatch(request_id)) and await self._search(request_id)

    async def _search(self, request_id: str) -> bool:
        """Look the request up in the whole history, one search at a time."""
        if self._searches >= MOST_SEARCHES:
            raise Refused(
                ShedReason.RATE_LIMIT,
                "too many ratings of old requests at once",
                self._search_seconds,
            )
        self._searches += 1
        try:
            async with self._searching:
                found = await asyncio.to_thread(self._holds, request_id)
        finally:
            self._searches -= 1
        if found is None:
            raise Refused(
                ShedReason.DEADLINE,
                f"the history could not be searched for {request_id!r} within {self._search_seconds:g} s",
                self._search_seconds,
            )
        return found

    def _holds(self, request_id: str) -> bool | None:
        from lightmeter import lookup  # pyarrow, which most servers never need at once

        return lookup.holds(self._history, request_id, seconds=self._search_seconds)


def read_rating(body: bytes) -> Rating:
    """Parse and check the body of a rating.

    Raises:
        InvalidRequest: naming the field, the value and the limit.
    """
    try:
        asked = RatingRequest.model_validate_json(body)
    except ValidationError as error:
        raise explained(error.errors()[0], RatingRequest) from error
    return Rating(
        request_id=asked.request_id,
        at=datetime.now(UTC),
        score=asked.score,
        tags=tuple(asked.tags or ()),
    )
