"""What GPU time costs."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from lightmeter.settings import Serve
from lightmeter.units import SECONDS_PER_HOUR


_SMALLEST = Decimal("1e-9")


@dataclass(frozen=True)
class Price:
    """The configured price of a GPU."""

    per_hour: Decimal
    currency: str

    @classmethod
    def of(cls, settings: Serve) -> Price | None:
        """Read it from the settings; None where none is set."""
        if settings.gpu_hour_price == 0:
            return None
        return cls(settings.gpu_hour_price, settings.currency)

    def cost(self, gpu_seconds: float) -> Decimal:
        """Price of so much GPU time, to a billionth."""
        return (self.per_hour * Decimal(gpu_seconds) / SECONDS_PER_HOUR).quantize(_SMALLEST)
