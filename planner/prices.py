"""The price table: what a GPU-hour costs, where, as of when, and who says so."""

from __future__ import annotations

import csv
import math
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from importlib import resources
from pathlib import Path

from lightmeter.errors import PriceError, explain, nearest
from planner import skypilot


@dataclass(frozen=True)
class Price:
    """One row: the list price of one GPU for one hour, with what it comes in.

    ``granularity_seconds`` and ``minimum_seconds`` say how on-demand time is rounded up; `billing`
    says who states them.
    """

    sku: str
    provider: str
    region: str
    instance: str
    gpu: str
    vram_gib: float
    price_per_gpu_hour: Decimal
    currency: str
    granularity_seconds: float
    minimum_seconds: float
    asof: str
    source: str
    licence: str

    def held(self, discount: float) -> Decimal:
        """Price of a GPU-hour that is paid for around the clock, ``discount`` of the list's off."""
        return self.price_per_gpu_hour * (1 - Decimal(str(discount)))

    @property
    def vram_bytes(self) -> float:
        """Memory of the card, bytes."""
        return self.vram_gib * 1024**3


BILLING = {
    "aws": "by the second, at least a minute, for Linux: https://aws.amazon.com/about-aws/whats-new/2017/10/announcing-amazon-ec2-per-second-billing/",
    "gcp": "by the second, at least a minute: https://cloud.google.com/compute/all-pricing",
    "azure": "by the second: https://azure.microsoft.com/pricing/details/virtual-machines/linux/",
    "alibaba": "by the second: https://www.alibabacloud.com/notice/ECS-0928",
    "runpod": "by the second, from when a worker starts until it stops: https://docs.runpod.io/serverless/pricing",
    "replicate": "by the second, set-up and idle time of private models too: https://replicate.com/docs/billing",
}
"""Where providers state how started GPUs are billed; read 2026-11."""


def billing(price: Price) -> str:
    """Say where the granularity and minimum of a price come from."""
    return BILLING.get(
        price.provider, "the row of the price table; no statement of the provider is known"
    )


MOST_PRICE = 1_000_000
COLUMNS = tuple(field.name for field in fields(Price))
_NUMBERS = ("vram_gib", "granularity_seconds", "minimum_seconds")


def builtin() -> dict[str, Price]:
    """Read the curated table that ships with the planner."""
    return _read(
        resources.files("planner").joinpath("data/prices.csv").read_text(), "built-in prices"
    )


def load(path: Path | None) -> dict[str, Price]:
    """Read the built-in table and, over it, the user's own or a catalogue of SkyPilot's.

    Raises:
        PriceError: naming the file, row and value.
    """
    if path is None:
        return builtin()
    try:
        text = path.read_text(encoding="utf-8-sig")  # spreadsheets write a mark first
        asof = f"{datetime.fromtimestamp(path.stat().st_mtime, UTC):%Y-%m-%d}"
    except OSError as error:
        raise PriceError(f"price table {str(path)!r} {explain(error)}") from error
    except UnicodeDecodeError as error:
        raise PriceError(f"price table {str(path)!r} is no text file; give a CSV") from error
    if skypilot.is_catalogue(text):
        return builtin() | _catalogue(text, path, asof)
    return builtin() | _read(text, str(path))


def _catalogue(text: str, path: Path, asof: str) -> dict[str, Price]:
    """Read SkyPilot's catalogue; of an instance in several zones of a region the cheapest counts."""
    provider = path.absolute().parent.name
    parsed = [
        _parse(row, f"{path} line {line}")
        for line, row in skypilot.rows(text, str(path), provider, asof)
    ]
    dear_first = sorted(parsed, key=lambda price: price.price_per_gpu_hour, reverse=True)
    return {price.sku: price for price in dear_first}


def pick(prices: Mapping[str, Price], sku: str) -> Price:
    """Return one row of the table.

    Raises:
        PriceError: no such SKU; names the nearest.
    """
    if sku not in prices:
        raise PriceError(
            f"SKU {sku!r} is in no price table{nearest(sku, prices)}; known: {_listed(prices)}"
        )
    return prices[sku]


def _listed(prices: Mapping[str, Price], most: int = 30) -> str:
    more = f" and {len(prices) - most} more" if len(prices) > most else ""
    return ", ".join(sorted(prices)[:most]) + more


def _read(text: str, where: str) -> dict[str, Price]:
    reader = csv.DictReader(text.splitlines())
    for name in COLUMNS:
        if name not in (reader.fieldnames or ()):
            raise PriceError(
                f"{where}: column {name!r} is missing; the columns are {', '.join(COLUMNS)}"
            )
    try:
        rows = [_parse(row, f"{where} line {number}") for number, row in enumerate(reader, 2)]
    except csv.Error as error:
        raise PriceError(f"{where}: no CSV that can be read ({error})") from error
    return {row.sku: row for row in rows}


def _parse(row: Mapping[str, str | None], where: str) -> Price:
    values = {name: row[name] or "" for name in COLUMNS}
    try:
        price = Decimal(values["price_per_gpu_hour"])
        numbers = {name: float(values[name]) for name in _NUMBERS}
    except (InvalidOperation, ValueError) as error:
        raise PriceError(
            f"{where}: a number is unreadable; see planner/data/prices.csv for the form"
        ) from error
    if not values["sku"]:
        raise PriceError(f"{where}: sku is empty; every row needs a name of its own")
    if not re.fullmatch("[A-Z]{3}", values["currency"]):
        raise PriceError(
            f"{where}: currency is {values['currency'][:20]!r}; write its three letters, like USD"
        )
    if not price.is_finite() or not 0 < price <= MOST_PRICE:
        raise PriceError(
            f"{where}: price_per_gpu_hour is {price}; it must be above 0 and at most {MOST_PRICE}"
        )
    for name in _NUMBERS:
        least = 0.0 if name == "minimum_seconds" else sys.float_info.min
        if not least <= numbers[name] < math.inf:
            raise PriceError(
                f"{where}: {name} is {values[name]}; it must be {'0 or more' if least == 0 else 'above 0'}"
            )
    return Price(**{**values, **numbers, "price_per_gpu_hour": price})  # type: ignore[arg-type]  # all str but these
