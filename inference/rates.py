"""A bound on how often one tenant may ask: the generic cell rate algorithm.

https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm: one number for each tenant, the time at
which its allowance would be whole again; the wait that it gives is exact.
"""

from __future__ import annotations

from inference.keys import Tenant


class Rates:
    """When each tenant may ask again. Times are seconds of one clock, passed in."""

    def __init__(self) -> None:
        self._whole_at: dict[str | None, float] = {}

    def wait(self, tenant: Tenant, now: float) -> float:
        """Take one request from the tenant's allowance; or return the seconds until it may ask."""
        if tenant.requests_per_minute is None:
            return 0.0
        interval = 60 / tenant.requests_per_minute
        whole_at = max(self._whole_at.get(tenant.name, now), now)
        wait = whole_at - now - interval * (tenant.burst - 1)
        if wait > 0:
            return wait
        self._whole_at[tenant.name] = whole_at + interval
        return 0.0
