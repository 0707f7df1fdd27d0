"""Other GPU types, GPUs cut into slices, and GPUs that follow the scaling policy."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from lightmeter import replay
from lightmeter.rows import UsageRow
from planner.options.base import Known
from planner.options.groups import GIB
from planner.options.mixed import mixed, profiles, sliced
from planner.options.scaled import scaled
from support import plans
from support.plans import demand_of, draws_of, price, terms
from support.rows import DAY, every, row


A100 = price(sku="a100", gpu="A100-80G", vram_gib=80.0)
SMALL = price(sku="small", gpu="T2", vram_gib=16.0, price_per_gpu_hour=Decimal("0.5"))


def regulars(count: int, gib: float = 8.0, gap: float = 600.0) -> list[UsageRow]:
    """Make services that are asked every so often, 4 s each time, each peaking at so much memory."""
    return [
        row(at * gap + 20.0 * name, 4.0, f"s{name}", peak_vram_bytes=int(gib * GIB))
        for name in range(count)
        for at in range(int(8 * DAY / gap))
    ]


def test_slices() -> None:
    """Seven services of 8 GiB have a seventh of an A100 each, and wait for what it is slower."""
    demand = demand_of(regulars(7))
    (found,) = sliced(demand, draws_of(demand), terms(30.0, price=A100))

    assert (1, True) == (found.gpus, found.meets_slo)
    assert {"1g.10gb"} == {place.slice for place in found.placement}
    assert 4.0 * 7 - 4.0 == pytest.approx(found.waits.max())
    again = found.again
    assert again is not None
    assert found.waits.tolist() == again(demand, terms(30.0, price=A100)).tolist()


@pytest.mark.parametrize(
    ("count", "gib", "wait", "slices"),
    [(3, 8.0, 10.0, "2g.20gb"), (4, 12.0, 30.0, "1g.20gb"), (2, 30.0, 30.0, "3g.40gb")],
)
def test_larger_slices(count: int, gib: float, wait: float, slices: str) -> None:
    """A service that needs more memory, or may wait less, gets a larger slice."""
    demand = demand_of(regulars(count, gib))
    (found,) = sliced(demand, draws_of(demand), terms(wait, price=A100))

    assert {slices} == {place.slice for place in found.placement}
    assert (1, True) == (found.gpus, found.meets_slo)


def test_no_slices() -> None:
    """A GPU that cannot be cut is not; nor are services cut for of which no memory is known."""
    demand, blind = demand_of(regulars(3)), demand_of(every(600.0, 500))

    assert () == profiles(price(gpu="L40S"))
    assert [] == sliced(demand, draws_of(demand), terms(30.0, price=price(gpu="L40S")))
    assert [] == sliced(blind, draws_of(blind), terms(30.0, price=A100))


def test_cheapest_type() -> None:
    """Each service gets the type that serves it at the least price; two slow ones may be it."""
    busy = every(10.0, 60_000, seconds=6.0, service="busy")
    demand = demand_of([*busy, *regulars(1)])
    known = (Known(speed=(("T2", 0.4),)), Known(speed=(("T2", 0.4),)))
    here = terms(10.0, others=(SMALL,), known=known)
    (found,) = mixed(demand, draws_of(demand), here)
    busy_place, quiet_place = found.placement

    # 6 s on a GPU of 0.4 take 15 s, every 10 s: two of them, each a quarter of the price
    assert ("small", 2, "small", 1) == (busy_place.sku, busy_place.gpus, quiet_place.sku, quiet_place.gpus)  # fmt: skip
    assert 0.75 * 720 == pytest.approx(found.monthly_hours(draws_of(demand), here).value)
    assert 9.0 == pytest.approx(float(np.median(found.waits[demand.rows(0)])))
    assert found.meets_slo


def test_no_cheaper_type() -> None:
    """Without other types, or where they are too slow or too small, there is no such option."""
    demand = demand_of(regulars(1))
    slow = (Known(speed=(("T2", 0.1),)),)

    assert [] == mixed(demand, draws_of(demand), terms(30.0))
    assert [] == mixed(demand, draws_of(demand), terms(30.0, others=(SMALL,), known=slow))
    large = (Known(vram_bytes=20 * GIB, speed=(("T2", 1.0),)),)
    assert [] == mixed(demand, draws_of(demand), terms(30.0, others=(SMALL,), known=large))


def test_reason_names_the_gpu() -> None:
    """Advice to use other GPUs names them, not the plan's."""
    found = plans.document(
        regulars(2, gap=300.0), sku="gcp-a2-a100-80", other_skus="gcp-g2-l4", slo="p95_wait=60s", sweep_points=0
    )  # fmt: skip

    assert "L4) for USD" in found["recommendation"]["reason"]


def test_policy() -> None:
    """The policy's GPUs are billed while they are on, and its waits are those of the simulator."""
    demand = demand_of([row(3600.0 * k, 30.0) for k in range(60)], days=3)
    here = terms(300.0, start_seconds=100.0, policy="recommended")
    (found,) = scaled(demand, draws_of(demand), here)

    assert 1 == found.gpus
    assert found.waits.max() <= 100.0 + 1e-6  # it wakes at once and starts in 100 s
    assert 60 * 30 / 3600 < float(found.billed.sum()) < 3 * 24.0
    assert replay.waits(demand.arrivals, demand.seconds, 1).max() == 0.0


def test_policy_too_long() -> None:
    """A year of forty services is not simulated look by look."""
    usage = [row(at * DAY, service=f"s{name}") for name in range(40) for at in (0, 300)]
    demand = demand_of(usage)

    assert [] == scaled(demand, draws_of(demand), terms(policy="recommended"))
    few = demand_of(usage[:4])
    assert [] == scaled(few, draws_of(few), terms())
