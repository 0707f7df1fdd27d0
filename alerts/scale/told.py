"""What a gateway says of the requests it holds, beside what a Prometheus has seen. Pure.

A Prometheus looks every quarter of a minute and may be away; whoever holds requests knows now.
"""

from __future__ import annotations

import json
import math
from typing import NamedTuple

from lightmeter.errors import WebhookError
from lightmeter.scaling.signals import Observations


LINGER_SECONDS = 60.0
"""So long somebody who waited counts as one in flight, though nobody has seen him since: demand may
come and go between two scrapes."""
NAMES = ("in_flight", "queued", "rate_short", "rate_long", "active_users")
MOST = 1e12
"""What is greater is taken for this."""
_EXAMPLE = '{"in_flight": 1, "queued": 1, "rate_short": 0.01, "rate_long": 0.001}'


class Told(NamedTuple):
    """Readings as `Observations` names them, and when they were told, seconds of a clock that never jumps."""

    at: float
    readings: dict[str, float]


def parse(body: bytes) -> dict[str, float]:
    """Read the body of ``POST /v1/wake``.

    Raises:
        WebhookError: it is no such message; naming the reading.
    """
    try:
        said = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise WebhookError(f"the body is no JSON; send {_EXAMPLE}") from error
    if not isinstance(said, dict):
        raise WebhookError(f"the body is no JSON object; send {_EXAMPLE}")
    for name, value in said.items():
        if name not in NAMES:
            raise WebhookError(f"{name[:40]!r} is no reading; send some of {', '.join(NAMES)}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:  # fmt: skip
            raise WebhookError(f"{name} is {str(value)[:40]!r}; it must be a number from 0 on")
    return {name: float(min(value, MOST)) for name, value in said.items()}


def merged(seen: Observations, told: Told, now: float, *, alone: bool) -> Observations:
    """Put what was told beside what was seen.

    Where nothing stands (``alone``), there is nothing to lose: the fresher reading counts, and what
    was told is enough. Beside replicas it can only raise what is seen. Who waited lately counts as
    one in flight for a while.
    """
    age = max(0.0, now - told.at)
    if age > LINGER_SECONDS:
        return seen
    values: dict[str, float] = {}
    ages = dict(seen.ages)
    for name, value in told.readings.items():
        known, known_age = getattr(seen, name), seen.ages.get(name, 0.0)
        if alone and (known is None or known_age >= age):
            values[name], ages[name] = value, age
        elif known is not None and known_age >= age:
            values[name] = max(known, value)
    if alone and told.readings.get("in_flight"):
        for name in ("queued", "rate_short", "rate_long"):  # nothing is there to be let go by a 0
            known, known_age = getattr(seen, name), seen.ages.get(name, 0.0)
            if name not in values and (known is None or known_age > LINGER_SECONDS):
                values[name], ages[name] = known or 0.0, age
    waiting = values.get("in_flight", seen.in_flight)
    if told.readings.get("in_flight") and waiting is not None:
        values["in_flight"] = max(1.0, waiting)
    return seen._replace(ages=ages, **values)
