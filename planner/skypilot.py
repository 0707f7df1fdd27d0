"""SkyPilot's catalogue of instances (``catalogs/v8/<cloud>/vms.csv``) as rows of our price table."""

from __future__ import annotations

import ast
import csv
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation

from lightmeter.errors import PriceError


NEEDED = ("InstanceType", "AcceleratorName", "AcceleratorCount", "Price", "Region", "GpuInfo")
BILLED_SECONDS = "60"
"""Granularity and minimum taken: the catalogue does not know them."""
_MIB_IN_GIB = 1024


def is_catalogue(text: str) -> bool:
    """Tell a catalogue by its header."""
    header = next(csv.reader(text.splitlines()[:1]), [])
    return set(NEEDED) <= set(header)


def rows(text: str, where: str, provider: str, asof: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield each GPU instance with a price as a row of our table, with its line.

    Rows without an accelerator, a price or a known VRAM are left out, and so are spot prices: they
    promise nothing. Prices are USD for the whole instance; the SKU is ``instance@region``.

    Raises:
        PriceError: naming the file, line and value.
    """
    for line, row in enumerate(csv.DictReader(text.splitlines()), 2):
        gib = _vram_gib(row.get("GpuInfo") or "", f"{where} line {line}")
        if not row["AcceleratorName"] or not row["Price"] or not gib:
            continue
        yield (
            line,
            {
                "sku": f"{row['InstanceType']}@{row['Region']}",
                "provider": provider,
                "region": row["Region"],
                "instance": row["InstanceType"],
                "gpu": row["AcceleratorName"],
                "vram_gib": gib,
                "price_per_gpu_hour": _per_gpu(row, f"{where} line {line}"),
                "currency": "USD",
                "granularity_seconds": BILLED_SECONDS,
                "minimum_seconds": BILLED_SECONDS,
                "asof": asof,
                "source": where,
                "licence": "not stated",
            },
        )


def _per_gpu(row: Mapping[str, str], where: str) -> str:
    try:
        price, count = Decimal(row["Price"]), Decimal(row["AcceleratorCount"])
        return f"{price / count:.6f}"
    except (InvalidOperation, ZeroDivisionError) as error:
        raise PriceError(f"{where}: {row['Price']!r} for {row['AcceleratorCount']!r} GPUs is no price; fetch the catalogue again") from error  # fmt: skip


def _vram_gib(info: str, where: str) -> str:
    """Read the memory of one GPU; '' where it is not known. ``GpuInfo`` is a Python literal."""
    if not info:
        return ""
    try:
        mib = ast.literal_eval(info)["Gpus"][0]["MemoryInfo"]["SizeInMiB"]
        return f"{float(mib) / _MIB_IN_GIB:g}" if mib else ""
    except (ValueError, SyntaxError, KeyError, IndexError, TypeError, RecursionError, MemoryError) as error:  # fmt: skip
        raise PriceError(f"{where}: GpuInfo {info[:40]!r} is not understood; fetch the catalogue again") from error  # fmt: skip
