"""Holds a CSV against FOCUS 1.2: columns, nulls, types, words, and sums that must agree. Pure.

Written from the text of https://github.com/FinOps-Open-Cost-and-Usage-Spec/FOCUS_Spec, version 1.2:
the constraints of each column and the formats of currencies, times and numbers. What depends on the
provider (whether a conditional column applies) cannot be told from a file and is not checked.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal


@dataclass(frozen=True)
class Column:
    """What the specification says of a column; ``level`` is M, R or C; ``kind`` one of the formats."""

    level: str
    nulls: bool
    kind: str = "text"
    words: tuple[str, ...] = ()


def _columns(level: str, kind: str, nulls: str, names: str) -> dict[str, Column]:
    return {name: Column(level, nulls == "null", kind) for name in names.split()}


CATEGORIES = ("AI and Machine Learning", "Analytics", "Business Applications", "Compute", "Databases", "Developer Tools", "Multicloud", "Identity", "Integration", "Internet of Things", "Management and Governance", "Media", "Migration", "Mobile", "Networking", "Security", "Storage", "Web", "Other")  # fmt: skip
COLUMNS: dict[str, Column] = {
    **_columns("M", "number", "set", "BilledCost ContractedCost EffectiveCost ListCost"),
    **_columns("M", "number", "null", "PricingQuantity"),
    **_columns("M", "text", "set", "BillingAccountId InvoiceIssuerName ProviderName PublisherName ServiceName"),
    **_columns("M", "text", "null", "BillingAccountName ChargeDescription"),
    **_columns("M", "unit", "null", "PricingUnit"),
    **_columns("M", "currency", "set", "BillingCurrency"),
    **_columns("M", "time", "set", "BillingPeriodStart BillingPeriodEnd ChargePeriodStart ChargePeriodEnd"),
    **_columns("R", "text", "null", "AvailabilityZone InvoiceId"),
    **_columns("R", "text", "set", "ServiceSubcategory"),
    **_columns("C", "text", "set", "BillingAccountType"),
    **_columns("C", "text", "null", "CapacityReservationId CommitmentDiscountId CommitmentDiscountName CommitmentDiscountType RegionId RegionName ResourceId ResourceName ResourceType SkuId SkuMeter SkuPriceId SubAccountId SubAccountName SubAccountType"),
    **_columns("C", "unit", "null", "CommitmentDiscountUnit ConsumedUnit"),
    **_columns("C", "number", "null", "CommitmentDiscountQuantity ConsumedQuantity ContractedUnitPrice ListUnitPrice PricingCurrencyContractedUnitPrice PricingCurrencyEffectiveCost PricingCurrencyListUnitPrice"),
    **_columns("C", "currency", "null", "PricingCurrency"),
    **_columns("C", "json", "null", "SkuPriceDetails Tags"),
    "ChargeCategory": Column("M", nulls=False, words=("Usage", "Purchase", "Tax", "Credit", "Adjustment")),
    "ChargeClass": Column("M", nulls=True, words=("Correction",)),
    "ServiceCategory": Column("M", nulls=False, words=CATEGORIES),
    "ChargeFrequency": Column("R", nulls=False, words=("One-Time", "Recurring", "Usage-Based")),
    "PricingCategory": Column("C", nulls=True, words=("Standard", "Dynamic", "Committed", "Other")),
    "CommitmentDiscountCategory": Column("C", nulls=True, words=("Spend", "Usage")),
    "CommitmentDiscountStatus": Column("C", nulls=True, words=("Used", "Unused")),
    "CapacityReservationStatus": Column("C", nulls=True, words=("Used", "Unused")),
}  # fmt: skip
MANDATORY = tuple(name for name, column in COLUMNS.items() if column.level == "M")
_NUMBER = re.compile(r"-?(\d+(\.\d+)?|\.\d+)(E-?\d+)?")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_CURRENCY = re.compile(r"[A-Z]{3}")
_UNIT = re.compile(r"(\d+ )?[A-Z][A-Za-z]*([ -/][A-Z][A-Za-z]*)*")
_PRICED = (("ListUnitPrice", "ListCost"), ("ContractedUnitPrice", "ContractedCost"))
_MOST = 50
_CLOSE = Decimal("0.000001")
Row = dict[str, str]


@dataclass(frozen=True)
class Violation:
    """What a file does against the specification; ``row`` counts from 1, 0 is the header."""

    row: int
    column: str
    says: str


def check(text: str) -> list[Violation]:
    """Return what is wrong with a FOCUS file, at most fifty things."""
    reader = csv.DictReader(io.StringIO(text))
    names = list(reader.fieldnames or ())
    found = list(_header(names))
    for number, row in enumerate(reader, 1):
        if len(found) >= _MOST:
            break
        if None in row or None in row.values():
            found.append(Violation(number, "", f"has not as many fields as the header, {len(names)}"))  # fmt: skip
            continue
        found += [Violation(number, column, says) for column, says in _row(row)]
    return found[:_MOST]


def _header(names: list[str]) -> Iterator[Violation]:
    for name in MANDATORY:
        if name not in names:
            yield Violation(0, name, "is mandatory and missing")
    for name in dict.fromkeys(names):
        if names.count(name) > 1:
            yield Violation(0, name, "is there twice")
        if name not in COLUMNS and not name.startswith("x_"):
            yield Violation(0, name, "is no column of FOCUS 1.2; one of your own begins with x_")


def _row(row: Row) -> Iterator[tuple[str, str]]:
    wrong = [(name, says) for name, value in row.items() if name in COLUMNS and (says := _value(COLUMNS[name], value))]  # fmt: skip
    yield from wrong
    if not wrong and set(MANDATORY) <= row.keys():
        yield from _periods(row)
        yield from _of_category(row)
        yield from _prices(row)
        yield from _commitment(row)


def _value(column: Column, value: str) -> str:
    """Say what is wrong with a value; nothing if nothing is."""
    if not value:
        return "" if column.nulls else "must not be null"
    if column.words:
        return "" if value in column.words else f"is {value!r}; it must be one of {', '.join(column.words)}"  # fmt: skip
    if value != value.strip() or value.lower() == "null":
        return f"is {value!r}; text has no spaces around it, and null is an empty field"
    return _FORMATS[column.kind](value)


def _number(value: str) -> str:
    return "" if _NUMBER.fullmatch(value) else f"is {value!r}, no number without sign, comma or unit"  # fmt: skip


def _time(value: str) -> str:
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return f"is {value!r}, no time"
    return "" if _TIME.fullmatch(value) else f"is {value!r}; write it like 2026-11-01T00:00:00Z"


def _currency(value: str) -> str:
    return "" if _CURRENCY.fullmatch(value) else f"is {value!r}, no three letters of ISO 4217"


def _unit(value: str) -> str:
    return "" if _UNIT.fullmatch(value) else f"is {value!r}, no unit like GPU-Hours or GB/Day"


def _json(value: str) -> str:
    try:
        return "" if isinstance(json.loads(value), dict) else "is no JSON object"
    except ValueError:
        return "is no JSON object"


_FORMATS = {"text": lambda _: "", "number": _number, "time": _time, "currency": _currency, "unit": _unit, "json": _json}  # fmt: skip


def _periods(row: Row) -> Iterator[tuple[str, str]]:
    for kind in ("Billing", "Charge"):
        if row[f"{kind}PeriodEnd"] <= row[f"{kind}PeriodStart"]:
            yield f"{kind}PeriodEnd", "is not after its beginning"
    if not row["BillingPeriodStart"] <= row["ChargePeriodStart"] < row["BillingPeriodEnd"]:
        yield "ChargePeriodStart", "lies outside the billing period"


def _of_category(row: Row) -> Iterator[tuple[str, str]]:
    """Check what must and must not be null for a kind of charge."""
    category, correction = row["ChargeCategory"], row["ChargeClass"] == "Correction"
    needed = ("PricingQuantity", "PricingUnit", "PricingCategory", "SkuId", "SkuPriceId", "ListUnitPrice", "ContractedUnitPrice")  # fmt: skip
    for name in needed:
        value = row.get(name)
        if category == "Tax" and value:
            yield name, "must be null for a tax"
        if category in ("Usage", "Purchase") and not correction and value == "":
            yield name, f"must not be null for a {category.lower()}"
    if category != "Usage" and row.get("ConsumedQuantity"):
        yield "ConsumedQuantity", "must be null where nothing is used"


def _prices(row: Row) -> Iterator[tuple[str, str]]:
    """Check that quantity times unit price is the cost."""
    for unit, cost in _PRICED:
        if row.get(unit) and row["PricingQuantity"] and row["ChargeClass"] != "Correction":
            price = Decimal(row[unit])
            if price < 0:
                yield unit, "must not be negative"
            product = price * Decimal(row["PricingQuantity"])
            if abs(product - Decimal(row[cost])) > _CLOSE * max(abs(product), Decimal(1)):
                yield cost, f"is {row[cost]}, not {unit} times PricingQuantity, {product:f}"


def _commitment(row: Row) -> Iterator[tuple[str, str]]:
    if "CommitmentDiscountId" not in row:
        return
    status, identity = row.get("CommitmentDiscountStatus", ""), row["CommitmentDiscountId"]
    if status and not identity:
        yield "CommitmentDiscountStatus", "must be null without a CommitmentDiscountId"
    if identity and not status and row["ChargeCategory"] == "Usage":
        yield "CommitmentDiscountStatus", "must say whether the commitment was used"
    if status == "Unused" and row.get("ConsumedQuantity"):
        yield "ConsumedQuantity", "must be null where a commitment was not used"
    if identity and row["ChargeCategory"] == "Purchase" and Decimal(row["EffectiveCost"]) != 0:
        yield "EffectiveCost", "must be 0 where a purchase covers future charges"
