"""Limits that a run must keep, like ``p95=2s,errors=1%``. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from inference.load.tally import LATENCIES
from lightmeter.errors import SettingError, nearest
from lightmeter.units import parse_duration


ERRORS, RATE = "errors", "rate"
_KNOWN = (*LATENCIES, ERRORS, RATE)
_FORM = "write it like p95=2s,errors=1%,rate=0.5"


@dataclass(frozen=True)
class Limit:
    """A limit: at most so many seconds or such a ratio; of a rate, at least so many pictures a second."""

    name: str
    value: float


def parse(text: str) -> list[Limit]:
    """Read limits that are separated by commas.

    Raises:
        SettingError: naming the part that is not understood.
    """
    return [_parse_one(part.strip(), text) for part in text.split(",")]


def _parse_one(part: str, text: str) -> Limit:
    name, _, value = part.partition("=")
    if name not in _KNOWN:
        raise SettingError(
            f"check {text!r}: {name!r} is nothing that can be checked{nearest(name, _KNOWN)}; {_FORM}"
        )
    try:
        number = parse_duration(value) if name in LATENCIES else _number(value)
    except (ValueError, SettingError) as error:
        raise SettingError(f"check {text!r} is not understood at {part!r}; {_FORM}") from error
    if not 0 <= number < float("inf") or (name == ERRORS and number > 1):
        raise SettingError(f"check {text!r}: {part!r} is out of range; {_FORM}")
    return Limit(name, number)


def _number(text: str) -> float:
    """Read ``1%`` or ``0.01``."""
    return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)


def judge(limits: list[Limit], result: dict[str, Any]) -> list[dict[str, Any]]:
    """Hold a result against the limits.

    Latencies are the corrected ones in the open loop and the measured ones in the closed loop.
    Errors are the share of the requests due that were not answered with a picture, abandoned ones
    left out. What was not measured keeps no limit.
    """
    which = "measured" if result["loop"] == "closed" else "corrected"
    latencies = result["latency_seconds"][which] or {}
    requests = result["requests"]
    asked = requests["due"] - requests["abandoned"]
    found = latencies | {
        ERRORS: 1 - requests["ok"] / asked if asked else None,
        RATE: result["throughput"]["pictures_per_second"],
    }
    return [_verdict(limit, found.get(limit.name)) for limit in limits]


def _verdict(limit: Limit, found: float | None) -> dict[str, Any]:
    least = limit.name == RATE
    holds = found is not None and (found >= limit.value if least else found <= limit.value)
    return {
        "check": limit.name,
        "at_least" if least else "at_most": limit.value,
        "found": found,
        "holds": holds,
    }
