"""The usage row: one line for each request, the planner's raw material. Standard library only."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lightmeter.catalog import Anomaly, Outcome, Priority
from lightmeter.errors import HistoryError, nearest


@dataclass(frozen=True, kw_only=True)
class UsageRow:
    """What one request asked for, waited for and used.

    Times are seconds, sizes bytes, energy joules. What the source does not know is None, never 0.
    """

    request_id: str
    """Id of the request; `img_...` from the server."""
    arrived_at: datetime
    """When the request arrived, in UTC."""
    service: str | None = None
    """What the request was billed to; the planner prices each service."""
    model: str | None = None
    """The model that was asked."""
    tenant: str | None = None
    """Name of the API key, or the user group of a trace."""
    priority: str | None = None
    """Which of the two classes it asked for."""
    width: int | None = None
    """Pixels."""
    height: int | None = None
    """Pixels."""
    images: int | None = None
    """Pictures."""
    forwards: int | None = None
    """Transformer forwards executed for each picture."""
    loras: int | None = None
    """LoRAs applied."""
    queue_seconds: float | None = None
    """Wait for a worker."""
    service_seconds: float | None = None
    """Wall time on the GPU, of the whole batch that the request rode in."""
    gpu_seconds: float | None = None
    """The request's own share of the batch."""
    total_seconds: float | None = None
    """From arrival to answer."""
    batch_size: int | None = None
    """Requests in its batch."""
    outcome: str | None = None
    """How it ended."""
    gpu_uuid: str | None = None
    """The GPU."""
    gpu_name: str | None = None
    """Its product name."""
    peak_vram_bytes: int | None = None
    """Most device memory that tensors took while its batch was made."""
    energy_joules: float | None = None
    """Energy of its share."""
    anomaly: str | None = None
    """What a guard found first."""
    feedback: int | None = None
    """Stars, 1 to 5."""


COLUMNS: tuple[str, ...] = tuple(field.name for field in dataclasses.fields(UsageRow))
REQUIRED = ("request_id", "arrived_at")
"""Columns that are never null."""
NUMBERS = ("queue_seconds", "service_seconds", "gpu_seconds", "total_seconds", "energy_joules")
_INT32 = 2**31 - 1
INTEGERS: dict[str, int] = {
    **dict.fromkeys(("width", "height", "images", "forwards", "loras", "batch_size"), _INT32),
    "peak_vram_bytes": 2**63 - 1,
    "feedback": 5,
}
"""Whole-number columns, with the greatest value that each may have."""
MEASURES = (*NUMBERS, *INTEGERS)
"""Columns that may be null but never negative or infinite."""
_LIMITS: dict[str, tuple[tuple[type[float], ...], float]] = {
    **dict.fromkeys(NUMBERS, ((int, float), sys.float_info.max)),
    **{name: ((int,), most) for name, most in INTEGERS.items()},
}
CLOSED: dict[str, tuple[str, ...]] = {
    "outcome": tuple(Outcome),
    "priority": tuple(Priority),
    "anomaly": tuple(Anomaly),
}
"""Columns whose words are a closed vocabulary."""
ERA = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
ERA_IN_WORDS = "between the years 2000 and 2200"


def check_columns(names: list[str], where: str) -> None:
    """Refuse a table that lacks a needed column or has one that is not ours.

    Raises:
        HistoryError: naming the table, the column and the nearest known one.
    """
    for name in names:
        if names.count(name) > 1:
            raise HistoryError(f"{where}: column {name!r} is there twice; keep one")
        if name not in COLUMNS:
            raise HistoryError(
                f"{where}: column {name!r} is no usage column{nearest(name, COLUMNS)}"
            )
    for name in (*REQUIRED, "service", "service_seconds", "outcome"):
        if name not in names:
            raise HistoryError(f"{where}: column {name!r} is missing; see docs/history.md")


def check(row: UsageRow, where: str) -> UsageRow:
    """Return the row, or refuse it for a value that its column cannot hold.

    Raises:
        HistoryError: naming the row's place, the column and the value.
    """
    for name in REQUIRED:
        if not getattr(row, name):
            raise HistoryError(f"{where}: {name} is empty; every row needs one")
    if not ERA[0] <= in_utc(row.arrived_at) < ERA[1]:
        raise HistoryError(f"{where}: arrived_at is {row.arrived_at}; it must lie {ERA_IN_WORDS}")
    for name, value in vars(row).items():
        if value is None or name == "arrived_at":
            continue
        limits = _LIMITS.get(name)
        if limits is None:
            _check_text(name, value, where)
        elif not (type(value) in limits[0] and 0 <= value <= limits[1]):  # the quick look
            _check_measure(name, value, where)
    return row


def _check_text(name: str, value: object, where: str) -> None:
    if not isinstance(value, str) or not (value.isascii() or _is_unicode(value)):
        raise HistoryError(f"{where}: {name} is {value!r}; it must be text, or empty")
    if name in CLOSED and value not in CLOSED[name]:
        raise HistoryError(
            f"{where}: {name} is {value!r}; it must be one of {', '.join(CLOSED[name])}"
        )


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _check_measure(name: str, value: Any, where: str) -> None:
    kinds, most = _LIMITS[name]
    if not isinstance(value, kinds) or isinstance(value, bool) or not 0 <= value <= most:
        limit = f" and at most {most}" if name in INTEGERS else ""
        raise HistoryError(
            f"{where}: {name} is {value!r}; it must be a number, 0 or more{limit}, or empty"
        )


def as_json(row: UsageRow) -> dict[str, Any]:
    """Return the row's known values, ready for `json.dumps`; unknown ones are left out."""
    values: dict[str, Any] = {name: value for name, value in vars(row).items() if value is not None}
    values["arrived_at"] = in_utc(row.arrived_at).isoformat(timespec="microseconds")
    return values


def from_json(values: Mapping[str, Any], where: str) -> UsageRow:
    """Build the row back from `as_json`'s output.

    Raises:
        HistoryError: a column is unknown or missing, or a value is unusable.
    """
    for name in values:
        if name not in COLUMNS:
            raise HistoryError(
                f"{where}: column {name!r} is no usage column{nearest(name, COLUMNS)}"
            )
    try:
        arrived = datetime.fromisoformat(values["arrived_at"])
        row = UsageRow(**{**values, "arrived_at": in_utc(arrived)})
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise HistoryError(f"{where}: not a usage row ({error}); see docs/history.md") from error
    return check(row, where)


def in_utc(at: datetime) -> datetime:
    """Return the instant in UTC; a time without a zone is taken to be UTC."""
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
