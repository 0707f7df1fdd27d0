"""Usage rows as a demand for the simulator."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from lightmeter.catalog import Outcome
from lightmeter.errors import ScaleError, SettingError
from lightmeter.simulate.demand import Demand
from lightmeter.units import parse_duration


if TYPE_CHECKING:
    import pandas as pd


COLUMNS = ("arrived_at", "service_seconds", "images", "tenant", "outcome")
_SERVED = (Outcome.OK, Outcome.ANOMALOUS)
_REFUSED = (Outcome.SHED, Outcome.TIMEOUT, Outcome.CANCELLED)


def from_frame(frame: pd.DataFrame, seconds_per_image: float | None = None) -> Demand:
    """Build the demand from history rows with `COLUMNS`, ordered by arrival.

    A request takes its service time, or ``seconds_per_image`` times its pictures. One that was
    turned away or given up is demand too, with the median of the served; what failed or was
    invalid is left out. A user is a tenant; without tenants every request is its own user.

    Raises:
        ScaleError: no row can be used.
    """
    served = frame["outcome"].isin(_SERVED) | frame["outcome"].isna()
    wanted = served | frame["outcome"].isin(_REFUSED)
    if seconds_per_image is None:
        known = frame["service_seconds"].where(served & (frame["service_seconds"] > 0))
        seconds = known.fillna(known.median()).where(~served | known.notna())
    else:
        seconds = seconds_per_image * frame["images"].fillna(1).clip(lower=1)
    usable = wanted & seconds.notna()
    used = frame[usable]
    if used.empty:
        raise ScaleError(
            f"none of the trace's {len(frame)} rows has an arrival and a service time; give --service-seconds, or another trace"
        )
    first = used["arrived_at"].iloc[0]
    users = used["tenant"].factorize()[0].astype(np.int64)
    lonely = users < 0
    users[lonely] = -1 - np.arange(int(lonely.sum()))
    return Demand(
        arrivals=np.asarray((used["arrived_at"] - first).dt.total_seconds(), dtype=np.float64),
        services=np.asarray(seconds[usable], dtype=np.float64),
        users=users,
        start=first.timestamp(),
    )


def moment(text: str, start: float) -> float:
    """Return a date or a time from the start as seconds since ``start``, which is in Unix seconds.

    A date without a zone is UTC.

    Raises:
        ScaleError: it is neither.
    """
    try:
        return parse_duration(text)
    except SettingError:
        pass
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise ScaleError(f"--split {text!r} is no date and no time; give one like 2024-11-26 or 11d") from error  # fmt: skip
    aware = found if found.tzinfo else found.replace(tzinfo=UTC)
    return aware.timestamp() - start
