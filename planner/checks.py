"""What the planner room needs of this machine."""

from __future__ import annotations

from lightmeter import replay
from lightmeter.doctor import Check, Finding, Verdict
from planner import prices


def checks() -> list[Check]:
    """List this room's checks."""
    return [check_kernel, check_prices]


def check_kernel() -> Finding:
    """Say which replay kernel is in use."""
    if replay.have_numba():
        return Finding("replay kernel", Verdict.OK, "compiled (numba)")
    return Finding(
        "replay kernel",
        Verdict.OK,
        "standard library; the extra 'fast' compiles it",
    )


def check_prices() -> Finding:
    """Say how old the built-in prices are."""
    table = prices.builtin()
    oldest, newest = (
        min(price.asof for price in table.values()),
        max(price.asof for price in table.values()),
    )
    return Finding(
        "prices",
        Verdict.OK,
        f"{len(table)} SKUs, as of {oldest} to {newest}; bring your own with --prices",
    )
