"""Conversions at the edge, and numbers as people read them. Standard library only."""

from __future__ import annotations

import math
import re
from decimal import ROUND_HALF_UP, Decimal

from lightmeter.errors import SettingError


SECONDS_PER_HOUR = 3600
HOURS_PER_MONTH = 730
"""Mean hours of a month, 365 x 24 / 12; the month that cloud price lists use."""
STEP_OF_SIDE = 16
"""Pixels; a picture's sides are multiples of it: the VAE's 8 times the transformer's patch of 2."""

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

_LOGIN = re.compile(r"(?<=://)[^\s/@\"']*@")
_SIZE = re.compile(r"(\d{1,9}(?:\.\d{1,9})?) ?(KiB|MiB|GiB|TiB)")
_POWERS = {"KiB": 1, "MiB": 2, "GiB": 3, "TiB": 4}


def parse_duration(text: str) -> float:
    """Turn ``30s``, ``5m``, ``1.5h`` or ``250ms`` into seconds; a bare number is seconds.

    Raises:
        SettingError: the text is no duration.
    """
    match = _DURATION.fullmatch(text.strip())
    if not match:
        raise SettingError(f"duration {text!r} is not understood; write it like 30s, 5m, 1.5h")
    seconds = float(match[1]) * _SECONDS[match[2] or "s"]
    if math.isinf(seconds):
        raise SettingError(f"duration {text[:20]!r}... is too long for a number")
    return seconds


def show_duration(seconds: float) -> str:
    """Format seconds for reading: ``40 ms``, ``12.3 s``, ``4 min 05 s``, ``3.2 h``, ``16.3 days``."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    if round(seconds) < SECONDS_PER_HOUR:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest:02d} s"
    hours = seconds / SECONDS_PER_HOUR
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.1f} days"


def show_latency(seconds: float) -> str:
    """Format seconds in three digits, ``21.4 ms``, ``1.07 s``; from 100 s on like `show_duration`."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.3g} ms"
    return f"{seconds:.3g} s" if seconds < 99.95 else show_duration(seconds)


def show_bytes(count: float) -> str:
    """Format bytes for reading, in powers of 1024."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def parse_bytes(text: str) -> int:
    """Turn ``3GiB``, ``512 MiB`` or ``1.5TiB`` into bytes, in powers of 1024.

    Raises:
        SettingError: the text is no such size.
    """
    match = _SIZE.fullmatch(text.strip())
    if not match:
        raise SettingError(f"size {text[:40]!r} is not understood; write it like 3GiB or 512MiB")
    return int(float(match[1]) * 1024 ** _POWERS[match[2]])


def parse_part(text: str, whole: int) -> int:
    """Turn ``3GiB``, or ``0.5`` for half, into bytes of a whole; more than the whole is the whole.

    Raises:
        SettingError: the text is neither, or nothing.
    """
    part = parse_bytes(text) if text.strip().endswith("B") else _share(text) * whole
    return min(int(part), whole)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise SettingError(
            f"part {text[:40]!r} is not understood; write it like 3GiB, or 0.5 for half"
        )
    return share


def show_ratio(ratio: float) -> str:
    """Format a ratio 0..1 as a percentage."""
    return f"{ratio * 100:.1f} %"


def cents(amount: Decimal) -> Decimal:
    """Round money to two decimals, half up."""
    return amount.quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)


def show_money(amount: Decimal, currency: str) -> str:
    """Format money for reading: ``USD 12.50``; from 1,000 on without the cents, ``USD 9,510``."""
    rounded = cents(amount)
    if abs(rounded) >= 1000:
        rounded = amount.quantize(Decimal(1), rounding=ROUND_HALF_UP)
    return f"{currency} {rounded:,}"


def counted(count: int, thing: str) -> str:
    """Format a count with its noun: ``1 GPU``, ``7 GPUs``."""
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"


def megapixels(width: int, height: int) -> float:
    """Picture area in megapixels (1e6 pixels)."""
    return width * height / 1e6


def url(host: str, port: int, scheme: str = "http") -> str:
    """Address of an HTTP server; an IPv6 host gets its brackets."""
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def without_password(text: str) -> str:
    """Hide who logs in, and with what, in the URLs of a text: for logs, errors and what is printed."""
    return _LOGIN.sub("***@", text)
