"""What is scaled: whoever can say how many replicas there are, and change that."""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

from alerts.scale.lease import Writer


class Fleet(NamedTuple):
    """Replicas that stand."""

    ready: int
    starting: int
    in_flight: int | None = None
    """Requests that it has at hand at this moment, where it can tell: a scrape may be older."""

    @property
    def all(self) -> int:
        """Those that serve and those to come."""
        return self.ready + self.starting


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


@runtime_checkable
class Leased(Protocol):
    """A target that itself says which of several scalers may act on it."""

    def lease(self, interval: float) -> Writer:
        """Make the right to act, for who asks for it every ``interval`` seconds."""
        ...
