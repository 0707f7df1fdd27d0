"""Parts of a date, in UTC, for whole arrays. Pure."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lightmeter.localprom.frame import Floats, Ints


_THURSDAY = 4  # 1970-01-01, where Sunday is 0


def _days(seconds: Floats) -> Ints:
    days: Ints = np.floor_divide(_whole(seconds), 86_400)
    return days


def _whole(seconds: Floats) -> Ints:
    return np.nan_to_num(np.trunc(seconds)).astype(np.int64)


def _date(seconds: Floats, unit: str) -> Ints:
    """Count the days since the month or the year (``unit``) began."""
    date = _days(seconds).astype("datetime64[D]")
    since: Ints = (date - date.astype(f"datetime64[{unit}]").astype("datetime64[D]")).astype(np.int64)  # fmt: skip
    return since


def _months(seconds: Floats) -> Ints:
    months: Ints = _days(seconds).astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    return months


def _length(seconds: Floats) -> Ints:
    month = _days(seconds).astype("datetime64[D]").astype("datetime64[M]")
    length: Ints = ((month + 1).astype("datetime64[D]") - month.astype("datetime64[D]")).astype(np.int64)  # fmt: skip
    return length


FUNCTIONS: dict[str, Callable[[Floats], Ints]] = {
    "minute": lambda seconds: np.floor_divide(_whole(seconds), 60) % 60,
    "hour": lambda seconds: np.floor_divide(_whole(seconds), 3600) % 24,
    "day_of_week": lambda seconds: (_days(seconds) + _THURSDAY) % 7,
    "day_of_month": lambda seconds: _date(seconds, "M") + 1,
    "day_of_year": lambda seconds: _date(seconds, "Y") + 1,
    "days_in_month": _length,
    "month": lambda seconds: _months(seconds) % 12 + 1,
    "year": lambda seconds: np.floor_divide(_months(seconds), 12) + 1970,
}
