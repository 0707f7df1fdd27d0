"""What was spent: GPU-hours that add up, as rows that keep to FOCUS 1.2."""

from __future__ import annotations

import csv
import io
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from planner import actual, focus, focus_check
from planner.actual import IDLE, Held
from planner.report.language import Language
from support import rows
from support.cli import inside
from support.plans import demand_of, price
from support.rows import DAY, every, row


def charges(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def written(gpus: float = 2.0, **prices: Any) -> str:
    usage = every(1000.0, 90, seconds=700.0) + every(5000.0, 10, seconds=90.0, service="b")
    shares = actual.shares(demand_of(usage, 1.0), Held(gpus, "test"))
    return focus.text(shares, price(**prices), "acme")


def test_adds_up() -> None:
    """Each hour's shares are the GPUs held, exactly, and all of them their price."""
    found = charges(written())
    by_hour: dict[str, Decimal] = {}
    for one in found:
        start = one["ChargePeriodStart"]
        by_hour[start] = by_hour.get(start, Decimal(0)) + Decimal(one["PricingQuantity"])

    assert (24, {Decimal(2)}) == (len(by_hour), set(by_hour.values()))
    assert Decimal(96) == sum(Decimal(one["BilledCost"]) for one in found)
    worked = [Decimal(one["PricingQuantity"]) for one in found if one["x_Service"] == "a"]
    assert float(sum(worked)) == pytest.approx((86 * 700 + 400) / 3600, rel=0.02)


def test_block_is_the_rows() -> None:
    """The plan's actual spend, its idle part and its services are the sums of the rows."""
    demand = demand_of([*every(1000.0, 80, seconds=300.0), row(5.0, service="b")], 1.0)
    held = Held(1.5, "test")
    found = actual.block(demand, held, price())
    listed = charges(focus.text(actual.shares(demand, held), price(), "acme"))
    idle = [Decimal(one["BilledCost"]) for one in listed if one["x_Idle"] == "true"]

    assert 72.0 == found["cost"] == float(sum(Decimal(one["BilledCost"]) for one in listed))
    assert found["idle_cost"] == float(round(sum(idle, Decimal(0)), 2))
    assert ["a", "b"] == [one["name"] for one in found["services"]]


def test_discount() -> None:
    """What was held is paid for with the discount that the plan rents at; the list price stays beside it."""
    demand, held = demand_of(every(1000.0, 80, seconds=300.0), 1.0), Held(2.0, "test")
    found = actual.block(demand, held, price(), 0.55)
    listed = charges(focus.text(actual.shares(demand, held), price(), "acme", 0.55))
    sums = {name: sum(Decimal(one[name]) for one in listed) for name in ("BilledCost", "ContractedCost", "EffectiveCost", "ListCost")}  # fmt: skip

    assert 96.0 * 0.45 == pytest.approx(found["cost"])
    assert found["price_source"].endswith(", less 55 % by plan.discount")
    assert [Decimal("43.2")] * 3 + [Decimal(96)] == list(sums.values())
    assert "less" not in actual.block(demand, held, price())["price_source"]
    assert [] == focus_check.check(focus.text(actual.shares(demand, held), price(), "acme", 0.55))
    assert Language("zh").knows(found["price_source"])


def test_busier_than_held() -> None:
    """Work of more GPUs than were held is divided, and nothing is idle."""
    shares = list(actual.shares(demand_of(every(10.0, 8640, seconds=50.0), 1.0), Held(1.0, "t")))

    assert IDLE not in {share.service for share in shares if share.gpu_hours > Decimal("0.1")}
    assert Decimal(24) == sum(share.gpu_hours for share in shares)


@pytest.mark.parametrize("gpus", [0.001, 1.0, 12345.678])
def test_keeps_to_focus(gpus: float) -> None:
    """Whatever is held, the rows keep to the specification, at a price of nothing too."""
    assert [] == focus_check.check(written(gpus))
    assert [] == focus_check.check(written(gpus, price_per_gpu_hour=Decimal(0), currency="CNY"))


def test_one_request() -> None:
    """A history of one request is a part of an hour."""
    text = focus.text(actual.shares(demand_of([row(0.0, 36.0)]), Held(1.0, "t")), price(), "acme")

    assert (1, [], "0.01") == (len(charges(text)), focus_check.check(text), charges(text)[0]["PricingQuantity"])  # fmt: skip


def test_odd_names() -> None:
    """A service may be called anything."""
    usage = [row(0.0, service='a,"b\n'), row(5.0, service="画")]
    text = focus.text(actual.shares(demand_of(usage), Held(1.0, "t")), price(), "acme")

    assert [] == focus_check.check(text)
    assert {'a,"b\n', "画"} <= {one["x_Service"] for one in charges(text)}


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("BillingCurrency", "usd", "no three letters of ISO 4217"),
        ("BilledCost", "", "must not be null"),
        ("BilledCost", "1,5", "no number without sign, comma or unit"),
        ("BilledCost", "+5", "no number without sign, comma or unit"),
        ("ListCost", "5", "not ListUnitPrice times PricingQuantity"),
        ("ChargeCategory", "usage", "must be one of Usage"),
        ("ChargeClass", "Correct", "must be one of Correction"),
        ("ChargePeriodStart", "2026-10-01 00:00:00", "write it like 2026-11-01T00:00:00Z"),
        ("ChargePeriodStart", "2026-13-01T00:00:00Z", "no time"),
        ("ChargePeriodEnd", "2026-09-01T00:00:00Z", "is not after its beginning"),
        ("BillingPeriodStart", "2026-10-30T00:00:00Z", "lies outside the billing period"),
        ("ServiceCategory", "GPU", "must be one of AI and Machine Learning"),
        ("PricingCategory", "", "must not be null for a usage"),
        ("PricingUnit", "gpu hours", "no unit like GPU-Hours"),
        ("ProviderName", "null", "null is an empty field"),
    ],
)
def test_violations(column: str, value: str, says: str) -> None:
    """Each rule that is broken is told, with the row and the column."""
    rows_ = charges(written())
    rows_[3][column] = value
    out = io.StringIO()
    writer = csv.DictWriter(out, focus.COLUMNS)
    writer.writeheader()
    writer.writerows(rows_)
    found = focus_check.check(out.getvalue())

    assert (4, True) == (found[0].row, any(says in one.says for one in found))


def test_columns() -> None:
    """A mandatory column that is missing and one that nobody knows are told; own ones begin with x_."""
    lines = written().splitlines()
    header = lines[0].replace("BilledCost", "Billed").replace("x_Idle", "idle")
    found = {(one.column, one.says.split(";")[0]) for one in focus_check.check("\n".join([header, *lines[1:]]))}  # fmt: skip

    assert {("BilledCost", "is mandatory and missing"), ("Billed", "is no column of FOCUS 1.2"), ("idle", "is no column of FOCUS 1.2")} <= found  # fmt: skip
    assert 22 >= len(focus_check.MANDATORY) >= 21
    assert ["is mandatory and missing"] == sorted({one.says for one in focus_check.check("")})


def test_unknown_holding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where nobody says what was paid for, there is no spend to tell, and what to give is said."""
    folder = rows.folder(tmp_path / "h", [*every(600.0, 300), row(2 * DAY)])

    assert 2 == inside("plan", "--history", folder, "--focus", tmp_path / "f.csv", "--out", tmp_path / "r")  # fmt: skip
    assert "give --held-gpus" in capsys.readouterr().err
    assert not (tmp_path / "f.csv").exists()
    assert actual.held(0.0, None, None, demand_of(every(600.0, 300))) is None


def test_named_gpus(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """GPUs that the rows name were held; a stated number wins. A bad file is refused in one line."""
    usage = [row(600.0 * index, gpu_uuid=f"GPU-{index % 3}") for index in range(300)]
    demand, uuids = demand_of(usage), rows.frame(usage)["gpu_uuid"]

    assert 3.0 == getattr(actual.held(0.0, uuids, None, demand), "gpus", None)
    assert 5.0 == getattr(actual.held(5.0, uuids, None, demand), "gpus", None)
    assert 2 == inside("plan", "focus", tmp_path / "none.csv")
    assert "does not exist" in capsys.readouterr().err
