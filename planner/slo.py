"""The objective that an option must keep. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lightmeter.errors import PlanError, SettingError
from lightmeter.replay import Floats, Integers
from lightmeter.units import parse_duration


_KEYS = ("p95_wait", "attainment")
_FORM = "write it like p95_wait=30s,attainment=0.95"


@dataclass(frozen=True)
class Slo:
    """A share of at least ``target`` of the requests waits at most ``wait_seconds``.

    The wait ends when a GPU starts the request, model swap and cold start included. That the 95th
    percentile keeps the limit is the same as a share of 0.95 within it, so the target is never
    below 0.95.
    """

    wait_seconds: float
    attainment: float
    limits: Floats | None = None
    """(n,) seconds, each request's own limit, where services have limits of their own."""

    @property
    def target(self) -> float:
        """Share of requests that must be within the limit."""
        return max(0.95, self.attainment)

    def within(self, waits: Floats) -> npt.NDArray[np.bool_]:
        """Tell of each wait whether it keeps the limit, to the microsecond; of all, in their order."""
        limit = self.wait_seconds if self.limits is None else self.limits
        kept: npt.NDArray[np.bool_] = waits <= limit + 1e-6
        return kept

    def within_at(self, waits: Floats, rows: Integers) -> npt.NDArray[np.bool_]:
        """Tell the same of the waits of the requests at these rows alone."""
        limit = self.wait_seconds if self.limits is None else self.limits[rows]
        kept: npt.NDArray[np.bool_] = waits <= limit + 1e-6
        return kept


def parse(text: str) -> Slo:
    """Read ``p95_wait=30s,attainment=0.95``; attainment may be left out.

    Raises:
        PlanError: naming the part that is not understood.
    """
    values: dict[str, str] = {}
    for part in text.split(","):
        key, _, value = part.strip().partition("=")
        if key not in _KEYS:
            raise PlanError(f"objective {text!r} is not understood at {part!r}; {_FORM}")
        values[key] = value
    if "p95_wait" not in values:
        raise PlanError(f"objective {text!r} has no p95_wait; {_FORM}")
    try:
        wait, attainment = (
            parse_duration(values["p95_wait"]),
            float(values.get("attainment", "0.95")),
        )
    except SettingError as error:
        raise PlanError(f"objective {text!r}: {error}") from error
    except ValueError as error:
        raise PlanError(f"objective {text!r}: attainment is no number; {_FORM}") from error
    if not 0 < attainment < 1:
        raise PlanError(
            f"objective {text!r}: attainment is {attainment}; it must lie between 0 and 1"
        )
    return Slo(wait, attainment)
