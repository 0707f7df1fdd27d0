"""The price table: what ships, what a user may add, and what is refused."""

from __future__ import annotations

import dataclasses
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from lightmeter.errors import PriceError
from lightmeter.settings_plan import Plan
from planner import prices


ROW = {
    "sku": "rack-7",
    "provider": "own",
    "region": "cellar",
    "instance": "rack",
    "gpu": "L40S",
    "vram_gib": "48",
    "price_per_gpu_hour": "0.10",
    "currency": "EUR",
    "granularity_seconds": "3600",
    "minimum_seconds": "0",
    "asof": "2026-10-01",
    "source": "our books",
    "licence": "ours",
}


def table(path: Path, *changes: dict[str, str], drop: str = "") -> Path:
    """Write a price table with one row for each set of changes."""
    names = [name for name in ROW if name != drop]
    lines = [",".join((ROW | change)[name] for name in names) for change in changes]
    path.write_text("\n".join([",".join(names), *lines]) + "\n")
    return path


def test_builtin() -> None:
    """Every price that ships is above zero and says where and when it was read, and under what."""
    table = prices.builtin()

    assert len(table) >= 10
    for price in table.values():
        assert Decimal(0) < price.price_per_gpu_hour < 100
        assert date(2024, 1, 1) < date.fromisoformat(price.asof)
        assert price.source.startswith("https://")
        assert price.licence in {"Apache-2.0", "fact"}  # a vendor's own page states the latter
        assert price.currency in {"USD", "CNY"}
        assert 8 <= price.vram_gib <= 192


def test_default_sku() -> None:
    """The SKU that a plan takes unless told otherwise ships with it."""
    assert "L40S" == prices.pick(prices.builtin(), Plan.model_validate({}).sku).gpu


def test_read_exactly() -> None:
    """A price is the decimal that the list states, not a float near it."""
    assert Decimal("0.526") == prices.builtin()["aws-g4dn-t4"].price_per_gpu_hour
    assert Decimal("9.5326") == prices.builtin()["alibaba-gn7i-a10"].price_per_gpu_hour


def test_own_table(tmp_path: Path) -> None:
    """A user's rows join the built-in ones, and win over them."""
    path = table(tmp_path / "own.csv", {}, {"sku": "aws-g4dn-t4"})
    found = prices.load(path)

    assert len(prices.builtin()) + 1 == len(found)
    assert ("EUR", Decimal("0.10")) == (
        found["rack-7"].currency,
        found["rack-7"].price_per_gpu_hour,
    )
    assert "own" == found["aws-g4dn-t4"].provider
    assert "aws" == prices.load(None)["aws-g4dn-t4"].provider


def test_spreadsheet(tmp_path: Path) -> None:
    """A table that a spreadsheet saved, with a byte-order mark, is read."""
    path = table(tmp_path / "own.csv", {})
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))

    assert "own" == prices.load(path)["rack-7"].provider


def test_memory() -> None:
    """The memory of a card is in bytes, from GiB."""
    assert 16 * 2**30 == prices.builtin()["aws-g4dn-t4"].vram_bytes


def test_unknown_sku() -> None:
    """A mistyped SKU is answered with the nearest known one."""
    with pytest.raises(PriceError, match="'aws-g6e-l40' is in no price table; did you mean 'aws-g6e-l40s'"):  # fmt: skip
        prices.pick(prices.builtin(), "aws-g6e-l40")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"price_per_gpu_hour": "0"}, "line 3: price_per_gpu_hour is 0"),
        ({"price_per_gpu_hour": "-1.5"}, "line 3: price_per_gpu_hour is -1.5"),
        ({"price_per_gpu_hour": "NaN"}, "line 3: price_per_gpu_hour is NaN"),
        ({"price_per_gpu_hour": "Infinity"}, "line 3: price_per_gpu_hour is Infinity"),
        ({"price_per_gpu_hour": "cheap"}, "line 3: a number is unreadable"),
        ({"price_per_gpu_hour": ""}, "line 3: a number is unreadable"),
        ({"vram_gib": "many"}, "line 3: a number is unreadable"),
        ({"vram_gib": "0"}, "line 3: vram_gib"),
        ({"vram_gib": "nan"}, "line 3: vram_gib"),
        ({"granularity_seconds": "0"}, "line 3: granularity_seconds"),
        ({"granularity_seconds": "nan"}, "line 3: granularity_seconds"),
        ({"minimum_seconds": "-60"}, "line 3: .*minimum_seconds"),
        ({"minimum_seconds": "inf"}, "line 3: .*minimum_seconds"),
        ({"sku": ""}, "line 3: .*sku"),
    ],
)
def test_impossible(tmp_path: Path, change: dict[str, str], said: str) -> None:
    """A price that cannot be is refused, with its file and line."""
    path = table(tmp_path / "own.csv", {"sku": "fine"}, change)

    with pytest.raises(PriceError, match=rf"own\.csv {said}"):
        prices.load(path)


@pytest.mark.parametrize("name", prices.COLUMNS)
def test_missing_column(tmp_path: Path, name: str) -> None:
    """A table without one of the columns is refused, and the column named."""
    with pytest.raises(PriceError, match=f"column '{name}' is missing"):
        prices.load(table(tmp_path / "own.csv", {}, drop=name))


def test_short_row(tmp_path: Path) -> None:
    """A row that ends early is refused."""
    path = table(tmp_path / "own.csv", {})
    path.write_text(path.read_text() + "half,a,row\n")

    with pytest.raises(PriceError, match="line 3"):
        prices.load(path)


def test_unreadable(tmp_path: Path) -> None:
    """A table that is not there, is a folder, or is no text is refused by name."""
    with pytest.raises(PriceError, match=r"none\.csv' does not exist"):
        prices.load(tmp_path / "none.csv")
    with pytest.raises(PriceError, match="is a folder, not a file"):
        prices.load(tmp_path)
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PriceError, match="is no text file; give a CSV"):
        prices.load(tmp_path / "x.csv")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(PriceError, match="column 'sku' is missing"):
        prices.load(tmp_path / "empty.csv")


INFO = "{'Gpus': [{'Name': 'V100', 'Count': 8.0, 'MemoryInfo': {'SizeInMiB': 16384}}], 'TotalGpuMemoryInMiB': 16384}"
CATALOGUE = "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,Price,Region,GpuInfo,SpotPrice\n"  # fmt: skip


def catalogue(path: Path, *rows: str) -> Path:
    """Write a catalogue in SkyPilot's columns; its folder names the provider."""
    path.mkdir()
    (path / "vms.csv").write_text(CATALOGUE + "".join(f"{row}\n" for row in rows))
    return path / "vms.csv"


def test_skypilot(tmp_path: Path) -> None:
    """SkyPilot's catalogue is read: a GPU's share of the instance's price, its own memory."""
    path = catalogue(
        tmp_path / "lambda",
        f'gpu_8x_v100,V100,8.0,92,448,4.40,us-east-1,"{INFO}",1.0',
        f'gpu_8x_v100,V100,8.0,92,448,4.00,us-east-1,"{INFO}",',
        "cpu_4x,,,4,16,0.1,us-east-1,,",
        f'gpu_1x_v100,V100,1.0,92,448,,us-east-1,"{INFO}",',
    )
    found = prices.load(path)

    assert {"gpu_8x_v100@us-east-1"} == found.keys() - prices.builtin().keys()
    price = prices.pick(found, "gpu_8x_v100@us-east-1")
    assert (Decimal("0.5"), 16.0, "USD", "lambda") == (
        price.price_per_gpu_hour,
        price.vram_gib,
        price.currency,
        price.provider,
    )
    assert str(path) == price.source
    assert date(2024, 1, 1) < date.fromisoformat(price.asof)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("a,V100,0,1,1,4,here,INFO,", "line 2: '4' for '0' GPUs is no price"),
        ("a,V100,1,1,1,cheap,here,INFO,", "line 2: 'cheap' for '1' GPUs is no price"),
        ("a,V100,1,1,1,-4,here,INFO,", "line 2: price_per_gpu_hour is -4"),
        ("a,V100,1,1,1,4,here,{'Gpus': [,", "line 2: GpuInfo \"{'Gpus': \\[\" is not understood"),
        ("a,V100,1,1,1,4,here,{},", "line 2: GpuInfo '{}' is not understood"),
    ],
)
def test_skypilot_refused(tmp_path: Path, row: str, said: str) -> None:
    """A damaged catalogue is refused with its line and value."""
    path = catalogue(tmp_path / "aws", row.replace("INFO", f'"{INFO}"'))
    with pytest.raises(PriceError, match=said):
        prices.load(path)


def test_billing() -> None:
    """Of every provider in the table it is known who states how starts are billed; of others not."""
    for price in prices.builtin().values():
        assert prices.billing(price).startswith("by the second")
        assert 1.0 == price.granularity_seconds
    assert "no statement" in prices.billing(dataclasses.replace(price, provider="garage"))
