"""Windows of burn-rate alerts: how much of the error budget is gone before who is told. Pure.

For 30 days the table of https://sre.google/workbook/alerting-on-slos/ (its section 6): 2 % of the
budget in an hour and 5 % in six hours wake somebody, 10 % in one or in three days are a ticket. A
burn rate is the share of the budget times the period over the window: 14.4, 6, 3 and 1.
For 7 days the windows stay, since shorter ones hold too few requests, and the shares grow:
the burn rates are 13.4, 5.6, 2.1 and 1.2.
"""

from __future__ import annotations

from dataclasses import dataclass

from alerts.rule import Severity
from lightmeter.units import parse_duration


@dataclass(frozen=True)
class Window:
    """One row: the alert fires while both the long and the short window burn too fast."""

    severity: Severity
    long: str
    short: str
    budget_share: float
    """What is gone of the period's budget after the long window at the alert's burn rate."""

    def burn_rate(self, period: str) -> float:
        """Say how many times too fast the budget burns."""
        return self.budget_share * parse_duration(period) / parse_duration(self.long)


WINDOWS: dict[str, tuple[Window, ...]] = {
    "30d": (
        Window(Severity.PAGE, "1h", "5m", 0.02),
        Window(Severity.PAGE, "6h", "30m", 0.05),
        Window(Severity.TICKET, "1d", "2h", 0.10),
        Window(Severity.TICKET, "3d", "6h", 0.10),
    ),
    "7d": (
        Window(Severity.PAGE, "1h", "5m", 0.08),
        Window(Severity.PAGE, "6h", "30m", 0.20),
        Window(Severity.TICKET, "1d", "2h", 0.30),
        Window(Severity.TICKET, "3d", "6h", 0.50),
    ),
}
