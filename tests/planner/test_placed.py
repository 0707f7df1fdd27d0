"""Services on GPUs together: as few as memory, load and objectives allow, and replayed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lightmeter.errors import PlanError, PriceError
from lightmeter.rows import UsageRow
from planner import services
from planner.options import Option, Sharing
from planner.options.base import Known
from planner.options.groups import GIB, Yard, speed
from planner.options.placed import placed
from support import plans, queues
from support.plans import demand_of, draws_of, price, terms
from support.rows import DAY, every, row


def visitors(
    count: int, gib: float = 8.0, gap: float = 900.0, seconds: float = 12.0
) -> list[UsageRow]:
    """Make services that are asked at random, each peaking at so much memory."""
    rng = np.random.default_rng(7)
    return [
        row(float(at), float(took), f"s{name}", peak_vram_bytes=int(gib * GIB))
        for name in range(count)
        for at, took in zip(
            np.sort(rng.uniform(0, 9 * DAY, int(9 * DAY / gap))),
            rng.lognormal(np.log(seconds), 0.3, int(9 * DAY / gap)),
            strict=True,
        )
    ]


def by_sharing(found: list[Option], sharing: Sharing) -> Option:
    """Return the option that shares in this way."""
    return next(option for option in found if option.sharing is sharing)


def test_memory_decides() -> None:
    """Quiet services are put together as far as memory goes, with what is to be kept free."""
    demand = demand_of(visitors(6, gib=8.0))
    roomy = placed(demand, draws_of(demand), terms(30.0, headroom=0.0))  # 24 GiB
    tight = placed(demand, draws_of(demand), terms(30.0, headroom=0.1))

    assert [2, 2, 2] == [option.gpus for option in roomy]
    assert [3, 3, 3] == [option.gpus for option in tight]
    assert all(option.meets_slo for option in [*roomy, *tight])
    assert {Sharing.TIME_SLICING, Sharing.GPUSHARE, Sharing.MPS} == {one.sharing for one in roomy}


def test_whole_gibibytes() -> None:
    """Slices of aliyun.com/gpu-mem are whole GiB, so three of 7.2 GiB do not fit into 22."""
    demand = demand_of(visitors(3, gib=7.2))
    found = placed(demand, draws_of(demand), terms(30.0, price=price(vram_gib=22.0), headroom=0.0))

    assert 1 == by_sharing(found, Sharing.TIME_SLICING).gpus
    sliced = by_sharing(found, Sharing.GPUSHARE)
    assert 2 == sliced.gpus
    assert "8 GiB, 8 GiB" in {place.slice for place in sliced.placement}


def partitions(items: list[int]) -> Iterator[list[list[int]]]:
    """Every way to put items into groups."""
    if not items:
        yield []
        return
    for groups in partitions(items[1:]):
        yield [[items[0]], *groups]
        for place in range(len(groups)):
            yield [*groups[:place], [items[0], *groups[place]], *groups[place + 1 :]]


@pytest.mark.parametrize("wait", [2.0, 6.0, 20.0])
def test_brute_force(wait: float) -> None:
    """No other placement that keeps every objective takes fewer GPUs: all of them are replayed."""
    demand = demand_of(visitors(5, gib=5.0, gap=400.0))
    draws, here = draws_of(demand), terms(wait, headroom=0.0, interference=0.1)
    found = by_sharing(placed(demand, draws, here), Sharing.TIME_SLICING)
    yard = Yard(demand, draws, here, 0.1)
    fewest = min(
        len(groups)
        for groups in partitions(list(range(5)))
        if all(len(group) <= 4 and yard.keeps((0, tuple(group))) for group in groups)
    )

    assert found.meets_slo
    assert fewest == found.gpus
    assert 1 < fewest


def test_replayed() -> None:
    """The waits are those of processor sharing, played event by event, with the loss."""
    demand = demand_of(visitors(2, gap=200.0, seconds=40.0))
    here = terms(200.0, headroom=0.0, interference=0.2)
    found = by_sharing(placed(demand, draws_of(demand), here), Sharing.TIME_SLICING)
    residents = [queues.Resident(0, service) for service in range(2)]
    _, ends = queues.sharing_rule(
        demand.arrivals, demand.seconds, demand.owner, residents, loss=0.2
    )

    assert 1 == found.gpus
    assert ends - demand.arrivals - demand.seconds == pytest.approx(found.waits, abs=1e-6)
    again = found.again
    assert again is not None
    assert found.waits.tolist() == again(demand, here).tolist()
    assert found.waits.mean() < again(demand, terms(200.0, interference=0.4)).mean()


def test_who_may_not() -> None:
    """A service that may not share has its own GPU, and so has one of which no memory is known."""
    demand = demand_of(visitors(4))
    known = (Known(share=False), Known(), Known(), Known())
    (found, *_) = placed(demand, draws_of(demand), terms(30.0, headroom=0.0, known=known))
    blind = demand_of([*visitors(3), *every(3600.0, 200, service="x")])
    (other, *_) = placed(blind, draws_of(blind), terms(30.0, headroom=0.0))

    assert ("s0",) in {place.services for place in found.placement}
    assert 2 == found.gpus
    assert ("x",) in {place.services for place in other.placement}


def test_nobody_to_share_with() -> None:
    """Without memory that is known, or with one service, there is no such option."""
    blind = demand_of([*every(3600.0, 200), *every(3600.0, 200, service="b")])
    alone = demand_of(visitors(1))

    assert [] == placed(blind, draws_of(blind), terms())
    assert [] == placed(alone, draws_of(alone), terms())


def test_other_gpus() -> None:
    """A cheaper GPU is taken where the measured speed allows it, and costs what it costs."""
    from decimal import Decimal

    small = price(sku="small", gpu="T2", vram_gib=9.0, price_per_gpu_hour=Decimal("0.5"))
    demand = demand_of(visitors(2, gib=8.0))
    known = (Known(speed=(("T2", 0.9),)),) * 2
    here = terms(30.0, headroom=0.0, price=price(vram_gib=15.0), others=(small,), known=known)
    (found, *_) = placed(demand, draws_of(demand), here)
    hours = found.monthly_hours(draws_of(demand), here).value

    assert ["small", "small"] == [place.sku for place in found.placement]
    assert 2 * 720 * 0.25 == hours  # at 2 an hour, a GPU of 0.5 an hour counts for a quarter
    assert found.meets_slo
    assert found.waits.min() > 0.5  # a slower GPU makes everybody wait


def test_speeds() -> None:
    """Speeds are measured, or those of the peaks; a GPU of neither is refused in one line."""
    here = terms(price=price(gpu="L40S"), known=(Known(speed=(("odd", 0.3),)),))

    assert 1.0 == speed(price(sku="x", gpu="L40S"), here, 0)
    assert 0.3 == speed(price(sku="odd", gpu="?"), here, 0)
    assert 312 / 362.05 == pytest.approx(speed(price(sku="y", gpu="A100-80G"), here, 0))
    with pytest.raises(PlanError, match=r"'Voodoo' is in no table of peaks.*--services file"):
        speed(price(sku="z", gpu="Voodoo"), here, 0)


def test_of_the_plan(tmp_path: Path) -> None:
    """The whole plan knows of it: options, SKUs, assumptions; mixed currencies are refused."""
    path = tmp_path / "services.toml"
    path.write_text("[services.s0]\ninterference = 0.3\n[services.s1]\nvram_gib = 30\n")
    found = plans.document(visitors(3), services=path, other_skus="aws-g6-l4", sweep_points=0)
    sliced = next(one for one in found["options"] if one["sharing"] == "time_slicing")

    assert 3 == sum(len(place["services"]) for place in sliced["placement"])
    assert {"aws-g6e-l40s", "aws-g6-l4"} >= {place["sku"] for place in sliced["placement"]}
    assert any("speed of other GPUs" in item["what"] for item in sliced["assumptions"])
    with pytest.raises(PriceError, match="is in CNY and 'aws-g6e-l40s' in USD; a plan has one currency"):  # fmt: skip
        plans.document(visitors(3), other_skus="alibaba-gn6i-t4")
    assert 30 * GIB == services.load(path)["s1"].vram_bytes
