"""Spend as rows of the FinOps Open Cost and Usage Specification, FOCUS 1.2. Pure.

https://focus.finops.org/focus-specification/v1-2/ (licensed CC BY 4.0). A row is a GPU's time in one
hour that one service used, or nobody did; options that nobody bought are no charges and not in it.
Columns of our own begin with ``x_``.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal

from planner.actual import IDLE, Share
from planner.prices import Price


VERSION = "1.2"
COLUMNS = (
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "ContractedUnitPrice",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ListCost",
    "ListUnitPrice",
    "PricingCategory",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "RegionId",
    "RegionName",
    "ServiceCategory",
    "ServiceName",
    "ServiceSubcategory",
    "SkuId",
    "SkuPriceId",
    "x_Idle",
    "x_Service",
)
_UNIT = "GPU-Hours"


def text(shares: Iterable[Share], price: Price, account: str, discount: float = 0.0) -> str:
    """Write the shares of a history's hours as FOCUS rows, CSV; null is an empty field.

    The sum of ``BilledCost`` is the GPU-hours held times the price, exactly, ``discount`` of it off;
    that of ``ListCost`` is without the discount.
    """
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(row(share, price, account, discount) for share in shares)
    return out.getvalue()


def row(share: Share, price: Price, account: str, discount: float = 0.0) -> dict[str, str]:
    """Make one charge: what a service used of the GPUs in an hour, or what nobody did."""
    listed, paid = price.price_per_gpu_hour, price.held(discount)
    cost, quantity = _number(share.gpu_hours * paid), _number(share.gpu_hours)
    idle = share.service == IDLE
    begin, end = _billing_period(share.begin)
    what = "held and not used" if idle else f"used by {share.service}"
    return {
        "BilledCost": cost,
        "BillingAccountId": account,
        "BillingAccountName": "",
        "BillingCurrency": price.currency,
        "BillingPeriodEnd": _moment(end),
        "BillingPeriodStart": _moment(begin),
        "ChargeCategory": "Usage",
        "ChargeClass": "",
        "ChargeDescription": " ".join(f"{price.gpu} {what}".split()),
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodEnd": _moment(share.begin + timedelta(hours=1)),
        "ChargePeriodStart": _moment(share.begin),
        "ConsumedQuantity": quantity,
        "ConsumedUnit": _UNIT,
        "ContractedCost": cost,
        "ContractedUnitPrice": _number(paid),
        "EffectiveCost": cost,
        "InvoiceIssuerName": price.provider,
        "ListCost": _number(share.gpu_hours * listed),
        "ListUnitPrice": _number(listed),
        "PricingCategory": "Standard",
        "PricingQuantity": quantity,
        "PricingUnit": _UNIT,
        "ProviderName": price.provider,
        "PublisherName": price.provider,
        "RegionId": price.region,
        "RegionName": price.region,
        "ServiceCategory": "Compute",
        "ServiceName": price.instance,
        "ServiceSubcategory": "Virtual Machines",
        "SkuId": price.sku,
        "SkuPriceId": f"{price.sku}@{price.asof}",
        "x_Idle": "true" if idle else "false",
        "x_Service": "" if idle else share.service,
    }


def _number(value: Decimal) -> str:
    """Write a number without exponent or needless zeros."""
    shown = f"{value:f}"
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def _billing_period(at: datetime) -> tuple[datetime, datetime]:
    """Return the calendar month of a moment."""
    first = at.replace(day=1, hour=0)
    return first, (first + timedelta(days=32)).replace(day=1)
