"""How long work takes here: moving averages of what was seen, by shape."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

from inference.tickets import Batch, Ticket


MOST_SHAPES = 512
"""Shapes that are remembered; the one unseen for longest is forgotten first."""
UNKNOWN_SECONDS = 1.0
"""What a request is taken to need before anything was seen."""


class Pace:
    """Seconds of one worker for a request of a shape, as batches of it were really made.

    A shape not seen yet is estimated from its megapixel-forwards and the pace over all shapes.
    """

    def __init__(self, weight: float = 0.2) -> None:
        self._weight = weight
        self._by_shape: OrderedDict[Hashable, float] = OrderedDict()
        self._per_work: float | None = None
        self._per_request: float | None = None

    def saw(self, batch: Batch, seconds: float) -> None:
        """Take one finished batch into the averages."""
        key, known = batch.job.batch_key, self._by_shape
        known[key] = self._moved(known.get(key), seconds / batch.images)
        known.move_to_end(key)
        if len(known) > MOST_SHAPES:
            known.popitem(last=False)
        self._per_work = self._moved(self._per_work, seconds / batch.work)
        self._per_request = self._moved(self._per_request, seconds / len(batch.tickets))

    def _moved(self, last: float | None, seen: float) -> float:
        return seen if last is None else last + self._weight * (seen - last)

    def predict(self, ticket: Ticket) -> float:
        """Seconds of one worker that a request will take, riding as its like have ridden."""
        seconds = self._by_shape.get(ticket.job.batch_key)
        if seconds is not None:
            return seconds * ticket.job.images
        return ticket.work * self._per_work if self._per_work else UNKNOWN_SECONDS

    @property
    def seconds_per_request(self) -> float:
        """Seconds of one worker for a request, over all shapes."""
        return self._per_request or UNKNOWN_SECONDS
