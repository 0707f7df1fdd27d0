"""Prices that GPUs may be started at besides the plan's: a serverless vendor's, another cloud's. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from lightmeter.errors import PlanError, PriceError, SettingError
from lightmeter.units import parse_duration, show_bytes
from planner.demand import Demand
from planner.options.base import Terms, Vendor
from planner.prices import Price, pick


def named(prices: Mapping[str, Price], text: str, main: Price) -> tuple[Vendor, ...]:
    """Read ``runpod-l40s=20s,replicate-l40s``: rows of the price table, and what a start takes there.

    Raises:
        PriceError: an unknown SKU, or one of another currency than ``main``.
        PlanError: a time that is none.
    """
    found = {}
    for part in filter(None, (one.strip() for one in text.split(","))):
        sku, told, start = (one.strip() for one in part.partition("="))
        price = pick(prices, sku)
        if price.currency != main.currency:
            raise PriceError(f"SKU {sku!r} is in {price.currency} and {main.sku!r} in {main.currency}; a plan has one currency")  # fmt: skip
        try:
            found[sku] = Vendor(price, parse_duration(start) if told else None)
        except SettingError as error:
            raise PlanError(f"--on-demand {part!r}: {error}") from error
    return tuple(found.values())


def check_fit(demand: Demand, terms: Terms) -> None:
    """Refuse a vendor whose GPU is too small for a service.

    Raises:
        PlanError: naming the service, its memory and the SKU.
    """
    for index, (name, peak) in enumerate(zip(demand.services, demand.peak_vram_bytes, strict=True)):
        stated = terms.of(index).vram_bytes
        need = peak if stated is None else stated
        for vendor in terms.vendors:
            if need is not None and need > vendor.price.vram_bytes:
                raise PlanError(f"service {name!r} needs {show_bytes(need)}, more than the {vendor.price.vram_gib:g} GiB of {vendor.price.sku!r}; leave it out of --on-demand")  # fmt: skip
