"""Rows that cannot be: requests of years to come, and requests that held a GPU for days. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

import pandas as pd

from lightmeter.units import counted
from planner.quality import Flaw


LONGEST = timedelta(days=1)
"""A picture takes seconds. Who holds a GPU for longer than this has a clock, or a unit, that is wrong."""
AHEAD = timedelta(days=1)
"""Clocks are off by minutes; rows further ahead than this were written by one that is wrong."""


def only(frame: pd.DataFrame, now: datetime | None) -> tuple[pd.DataFrame, list[Flaw]]:
    """Leave out what cannot be, and say so; ``frame`` holds `demand.COLUMNS`.

    GPU times that are too long become unknown. Rows of the future go unless all are of it: then the
    whole history is ahead, and the times between its rows may still be right.
    """
    flaws = []
    if now is not None:
        ahead = frame["arrived_at"] > pd.Timestamp(now + AHEAD)
        if ahead.any() and not ahead.all():
            frame = frame[~ahead]
            flaws.append(Flaw("D", f"{counted(int(ahead.sum()), 'row')} arrived more than a day in the future and are left out; is the server's clock right?"))  # fmt: skip
    times = frame[["gpu_seconds", "service_seconds"]]
    long = times > LONGEST.total_seconds()
    rows = int(long.any(axis=1).sum())
    if rows:
        frame = frame.assign(**times.mask(long))
        flaws.append(Flaw("C", f"{counted(rows, 'request')} held a GPU for more than a day by the rows, which are left out; is the clock right, or the unit?"))  # fmt: skip
    return frame, flaws
