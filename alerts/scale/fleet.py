"""What is scaled: whoever can say how many replicas there are, and change that."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple, Protocol, runtime_checkable

import httpx

from alerts.scale.lease import Writer
from lightmeter import catalog
from lightmeter.catalog import TargetAnswer


class Word(Enum):
    """What the number of replicas rests on."""

    COUNTED = "the target counts them"
    ASKED = "so many were asked for last"
    IMAGINED = "nothing is scaled"


class Fleet(NamedTuple):
    """Replicas that stand."""

    ready: int
    starting: int
    in_flight: int | None = None
    """Requests that it has at hand at this moment, where it can tell: a scrape may be older."""

    word: Word = Word.COUNTED

    @property
    def all(self) -> int:
        """Those that serve and those to come."""
        return self.ready + self.starting

    def ordered(self, to: int) -> Fleet:
        """Say what it will be once ``to`` were asked for, until somebody looks again."""
        ready = to if self.word is Word.IMAGINED else min(self.ready, to)
        return self._replace(ready=ready, starting=to - ready)


class Target(Protocol):
    """Something with replicas."""

    name: str

    def fleet(self) -> Fleet:
        """Count the replicas.

        Raises:
            TargetError: it cannot be asked now.
        """
        ...

    def scale(self, to: int) -> str:
        """Ask for so many replicas, and say what was done.

        Asking twice is asking once. Those that start go before those that serve, and none is ended
        while it works.

        Raises:
            TargetError: not possible now; the next look tries again.
        """
        ...


def of_status(status: int) -> TargetAnswer:
    """Say what a target means by a status that is not 2xx."""
    return catalog.TARGET_STATUSES.get(status, TargetAnswer.FAILED)


def unheard(error: httpx.HTTPError) -> TargetAnswer:
    """Say why there was no answer."""
    late = isinstance(error, httpx.TimeoutException)
    return TargetAnswer.TIMEOUT if late else TargetAnswer.UNREACHABLE


@runtime_checkable
class Leased(Protocol):
    """A target that itself says which of several scalers may act on it."""

    def lease(self, interval: float) -> Writer:
        """Make the right to act, for who asks for it every ``interval`` seconds."""
        ...
