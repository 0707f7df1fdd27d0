"""GPUs started at another price: a serverless vendor's beside the plan's."""

from __future__ import annotations

import pytest

from lightmeter.errors import PlanError, PriceError
from planner import prices, vendors
from planner.options import on_demand
from planner.options.base import Vendor
from planner.options.elastic import on_vendors
from support import plans
from support.plans import demand_of, draws_of, price, terms
from support.rows import every, row


TABLE = prices.builtin()


def test_by_hand() -> None:
    """A vendor at half the price and a tenth of the start: what starts cost and how long they take."""
    demand = demand_of(every(21_600.0, 120, seconds=20.0), days=30)
    vendor = Vendor(price(sku="cheap", price_per_gpu_hour=price().price_per_gpu_hour / 2), 18.0)
    here = terms(30.0, vendors=(vendor,))
    own, other = on_vendors(demand, draws_of(demand), here)

    # each request starts a GPU: 180 and 18 s of start, 20 of work and 60 of idling
    assert on_demand(demand, draws_of(demand), here).billed.tolist() == own.billed.tolist()
    assert (180.0, False) == (own.waits.max(), own.meets_slo)
    assert (18.0, True) == (other.waits.max(), other.meets_slo)
    assert 120 * (18 + 20 + 60) / 3600 == pytest.approx(other.held_hours)
    assert other.held_hours / 2 == pytest.approx(other.billed.sum())
    assert {"cheap"} == {place.sku for place in other.placement}


def test_slower() -> None:
    """On a GPU of half the speed a request takes twice as long, and that counts as waiting."""
    demand = demand_of(every(21_600.0, 120, seconds=20.0), days=30)
    vendor = Vendor(price(sku="slow", gpu="T4"), 0.0)
    here = terms(30.0, price=price(gpu="L4"), vendors=(vendor,))
    _, other = on_vendors(demand, draws_of(demand), here)

    ratio = 65 / 121  # of their peaks, NVIDIA's data sheets: lightmeter/roofline.py
    assert 20 / ratio - 20 == pytest.approx(other.waits.max(), rel=0.01)
    assert 120 * (20 / ratio + 60) / 3600 == pytest.approx(other.held_hours, rel=0.01)
    assert "wait of a request" in [what for what, _, _ in other.facts]
    assert other.again is not None
    assert other.waits.tolist() == other.again(demand, here).tolist()


def test_named() -> None:
    """Rows by name, a time to start behind =; what is unknown is said, with what there is."""
    found = vendors.named(TABLE, " runpod-l40s=20s, replicate-l40s,", TABLE["aws-g6e-l40s"])

    assert [("runpod-l40s", 20.0), ("replicate-l40s", None)] == [(one.price.sku, one.start_seconds) for one in found]  # fmt: skip
    assert () == vendors.named(TABLE, "", TABLE["aws-g6e-l40s"])
    with pytest.raises(PriceError, match=r"'runpod-l40' is in no price table; did you mean 'runpod-l40s'\?; known: alibaba"):  # fmt: skip
        vendors.named(TABLE, "runpod-l40", TABLE["aws-g6e-l40s"])
    with pytest.raises(PriceError, match="a plan has one currency"):
        vendors.named(TABLE, "alibaba-gn7i-a10", TABLE["aws-g6e-l40s"])
    with pytest.raises(PlanError, match="--on-demand 'runpod-l4=soon': duration 'soon' is not"):
        vendors.named(TABLE, "runpod-l4=soon", TABLE["aws-g6e-l40s"])


def test_in_the_plan() -> None:
    """A plan has an option for each vendor, with its price, its billing and its start among the assumptions."""
    usage = every(21_600.0, 120, seconds=20.0)
    found = plans.document(usage, on_demand="runpod-l40s=20s", sweep_points=3)
    (option,) = [one for one in found["options"] if one["sku"] == "runpod-l40s"]
    rests = {one["what"]: one for one in option["assumptions"]}

    assert 1.908 == rests["price of one L40S GPU-hour, USD"]["value"]
    assert 20.0 == rests["seconds to start a GPU"]["value"]
    assert "stated with --on-demand" == rests["seconds to start a GPU"]["source"]
    assert "docs.runpod.io" in rests["billing granularity and minimum, seconds"]["source"]
    assert "on-demand GPUs at runpod-l40s" == option["name"]
    assert found["options"].index(option) == found["recommendation"]["option"]
    assert "L40S) for USD" in found["recommendation"]["reason"]


def test_too_small() -> None:
    """A service that does not fit a vendor's GPU is named, and what to leave out."""
    usage = [*every(7200.0, 200), row(5.0, peak_vram_bytes=30 * 2**30)]
    with pytest.raises(PlanError, match=r"'a' needs 30.0 GiB, more than the 24 GiB of 'runpod-l4'"):
        plans.document(usage, on_demand="runpod-l4")
