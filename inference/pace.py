"""How long work takes here: moving averages of what was seen, by shape; and the work that waits."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

from inference.tickets import Batch, Ticket


MOST_SHAPES = 512
"""Shapes that are remembered; the one unseen for longest is forgotten first."""
LEAST_CAUTION, FIRST_CAUTION, MOST_CAUTION = 1.25, 1.4, 3.0
"""Bounds of the factor on predicted waits: a wait is as uneven as the calls that it is made of."""
UNKNOWN_SECONDS = 1.0
"""What a request is taken to need before anything was seen."""


class _Ratio:
    """Seconds for each unit, over the batches seen: at first of all alike, then the last count most."""

    def __init__(self, weight: float) -> None:
        self._weight = weight
        self._batches = 0
        self._seconds = self._units = 0.0

    def saw(self, seconds: float, units: float) -> None:
        self._batches += 1
        weight = max(self._weight, 1 / self._batches)
        self._seconds += weight * (seconds - self._seconds)
        self._units += weight * (units - self._units)

    @property
    def value(self) -> float | None:
        return self._seconds / self._units if self._units else None


class Pace:
    """Seconds of one worker for a request of a shape, as batches of it were really made.

    A shape not seen yet is estimated from its megapixel-forwards and the pace over all shapes.
    """

    def __init__(self, weight: float = 0.1) -> None:
        self._weight = weight
        self._by_shape: OrderedDict[Hashable, _Ratio] = OrderedDict()
        self._per_work = _Ratio(weight)
        self._per_request = _Ratio(weight / 4)
        self.caution = FIRST_CAUTION
        """What predictions of waits are multiplied by, from how far off the worst one was lately."""

    def saw(self, batch: Batch, seconds: float) -> None:
        """Take one finished batch into the averages."""
        key, known = batch.job.batch_key, self._by_shape
        known.setdefault(key, _Ratio(self._weight)).saw(seconds, batch.images)
        known.move_to_end(key)
        if len(known) > MOST_SHAPES:
            known.popitem(last=False)
        self._per_work.saw(seconds, batch.work)
        self._per_request.saw(seconds, len(batch.tickets))
        for ticket in batch.tickets:
            if ticket.predicted and ticket.started:
                self._judge((ticket.started - ticket.arrived) / ticket.predicted)

    def _judge(self, error: float) -> None:
        """Be more careful after a wait that was longer than predicted, and less, slowly, after each."""
        self.caution = min(max(LEAST_CAUTION, self.caution * 0.999, error), MOST_CAUTION)

    def predict(self, ticket: Ticket) -> float:
        """Seconds of one worker that a request will take, riding as its like have ridden."""
        return self.sum(
            ticket.job.batch_key, requests=1, images=ticket.job.images, work=ticket.work
        )

    def sum(self, shape: Hashable, *, requests: int, images: int, work: float) -> float:
        """Seconds of one worker that so many requests of a shape will take together."""
        known = self._by_shape.get(shape)
        if known and known.value is not None:
            return known.value * images
        per_work = self._per_work.value
        return UNKNOWN_SECONDS * requests if per_work is None else work * per_work

    @property
    def known(self) -> bool:
        """Whether anything was seen yet."""
        return self._per_work.value is not None

    @property
    def seconds_per_request(self) -> float:
        """Seconds of one worker for a request, over all shapes."""
        return self._per_request.value or UNKNOWN_SECONDS


class Backlog:
    """Requests that wait, summed by shape: telling their seconds costs no walk through them."""

    def __init__(self) -> None:
        self._sums: dict[Hashable, tuple[int, int, float]] = {}

    def add(self, ticket: Ticket, sign: int = 1) -> None:
        """Count a request in; with ``sign`` -1, out."""
        shape = ticket.job.batch_key
        requests, images, work = self._sums.get(shape, (0, 0, 0.0))
        requests += sign
        if requests:
            self._sums[shape] = (
                requests,
                images + sign * ticket.job.images,
                work + sign * ticket.work,
            )
        else:
            del self._sums[shape]

    def seconds(self, pace: Pace) -> float:
        """Seconds of one worker that they will take."""
        return sum(
            pace.sum(shape, requests=requests, images=images, work=work)
            for shape, (requests, images, work) in self._sums.items()
        )
