"""Which option is advised, when none is, and what would change it."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from lightmeter.replay import Floats
from lightmeter.rows import UsageRow
from planner import options as ways
from planner.certainty import Draws
from planner.options import Option, OptionKind
from planner.recommend import Recommendation, recommend
from planner.report.language import Language
from support import plans
from support.plans import demand_of, draws_of, terms
from support.rows import DAY, every, row


HOUR = 3600.0
NOISY: Floats = np.array([10.0, 40.0, 5.0, 60.0, 20.0, 35.0, 8.0, 50.0, 12.0, 30.0])
"""GPU-hours of ten days, 27 on average."""
DEDICATED, SHARED, ON_DEMAND, HYBRID = OptionKind


def ten_days() -> Draws:
    """Draw from ten days of history."""
    return draws_of(demand_of(every(HOUR, 240), days=10))


def priced(kind: OptionKind, hours: float | Floats, *, meets: bool = True) -> Option:
    """Make an option billed these GPU-hours a day."""
    return plans.option(kind, np.full(10, 1.0) * hours, meets=meets)


def advise(*options: Option, days: float = 10.0) -> Recommendation:
    """Recommend among the options; whatever is said can be said in Chinese."""
    found = recommend(options, ten_days(), terms(), demand_of(every(HOUR, 240), days=days))
    assert Language("zh").knows(found.reason)
    return found


def test_cheapest() -> None:
    """The cheapest that keeps the objective is advised, with its saving against dedicated GPUs."""
    found = advise(priced(DEDICATED, 96.0), priced(SHARED, 24.0), priced(ON_DEMAND, NOISY + 60))

    assert 1 == found.option
    assert (0.75, (0.75, 0.75)) == (found.saving_ratio, found.saving_ci)
    # 24 and 96 GPU-hours a day at USD 2, for 30 days
    assert "USD 1,440 a month" in found.reason
    assert "would cost USD 5,760, so it saves 75.0 %" in found.reason


def test_cheap_but_late() -> None:
    """A cheaper option that misses the objective is not advised."""
    found = advise(priced(DEDICATED, 96.0), priced(SHARED, 24.0, meets=False))

    assert 0 == found.option
    assert 0.0 == found.saving_ratio
    assert "no other option that keeps it is cheaper" in found.reason


def test_too_close() -> None:
    """Where the days decide which is cheaper, nothing is advised, and both are named."""
    found = advise(priced(DEDICATED, 30.0), priced(ON_DEMAND, NOISY))

    assert (None, None, None) == (found.option, found.saving_ratio, found.saving_ci)
    assert found.reason.startswith("Too close to call between on-demand GPUs (USD 1,620 a month)")
    assert "dedicated GPUs for each service (USD 1,800 a month)" in found.reason


@pytest.mark.parametrize("enough", [False, True])
def test_days_that_decide(enough: bool) -> None:  # noqa: FBT001  (a parameter of the test)
    """So many more days like these decide it, as was said; a good part of them does not."""
    said = advise(priced(DEDICATED, 30.0), priced(ON_DEMAND, NOISY)).reason
    more = re.search(r"If the days to come are like these, ([\d,]+) more days of history", said)
    assert more is not None
    tens = math.ceil((10 + int(more[1])) / 10) + 1 if enough else (10 + int(more[1])) // 20
    demand = demand_of(every(HOUR, 240 * tens), days=10 * tens)
    noisy, even = np.tile(NOISY, tens), np.full(10 * tens, 30.0)
    options = [plans.option(DEDICATED, even), plans.option(ON_DEMAND, noisy)]

    assert (1 if enough else None) == recommend(options, draws_of(demand), terms(), demand).option


def test_no_days_decide() -> None:
    """Where a difference is nothing next to its spread, nobody is told to wait for years."""
    found = advise(
        priced(SHARED, 30.7), priced(DEDICATED, 60.0), priced(ON_DEMAND, NOISY / 27 * 30)
    )
    assert found.option is None
    assert "No amount of history is likely to tell them apart" in found.reason


def test_far_enough() -> None:
    """The same noise does not hinder the advice where the costs are far apart."""
    found = advise(priced(DEDICATED, 300.0), priced(ON_DEMAND, NOISY))

    assert 1 == found.option
    assert 0.91 == found.saving_ratio
    assert found.saving_ci is not None
    assert 0.8 < found.saving_ci[0] < 0.91 < found.saving_ci[1] < 1


def test_paired() -> None:
    """An option that is a little cheaper on every single day is surely cheaper, noise or not."""
    found = advise(priced(DEDICATED, 300.0), priced(SHARED, NOISY + 1.0), priced(ON_DEMAND, NOISY))

    assert 2 == found.option


def test_third_uncertain() -> None:
    """The cheapest must be surely cheaper than every other, not only than the next."""
    third = NOISY / NOISY.mean() * 26.5
    found = advise(priced(DEDICATED, 25.0), priced(SHARED, 26.0), priced(ON_DEMAND, third))

    assert found.option is None
    assert "Too close" in found.reason


def test_rival_that_misses() -> None:
    """An option that misses the objective makes nothing too close."""
    found = advise(priced(DEDICATED, 30.0), priced(ON_DEMAND, NOISY + 3, meets=False))

    assert 0 == found.option


def test_same_cost() -> None:
    """Of two options that cost the same the simpler one, listed first, is advised."""
    assert 0 == advise(priced(DEDICATED, 24.0), priced(SHARED, 24.0)).option


@pytest.mark.parametrize(("dearer", "option"), [(1.01, 0), (1.03, 1)])
def test_immaterial(dearer: float, option: int) -> None:
    """A saving of one percent does not pay for the less simple option; three percent do."""
    assert option == advise(priced(DEDICATED, 24.0 * dearer), priced(SHARED, 24.0)).option


def test_few_requests() -> None:
    """Ninety requests in a month are too few for advice, and that is said."""
    found = plans.document(every(8 * HOUR, 90))["recommendation"]

    assert found["option"] is None
    assert found["reason"].startswith("No advice yet: 90 requests in 29.7 days are fewer than")
    assert plans.document(every(8 * HOUR, 100))["recommendation"]["option"] is not None


def test_load_limit() -> None:
    """The load that the GPUs bear is found: one every 60 s takes 20 s, so three times as many."""
    flips = plans.document(every(60.0, 2000, seconds=20.0), slo="p95_wait=1s")["recommendation"][
        "flips_when"
    ]

    [load] = [
        flip["at"]
        for flip in flips
        if flip["what"].startswith("load, times today's; above it these")
    ]
    assert load == pytest.approx(3.0, rel=0.02)


def test_none_meets() -> None:
    """Where every option misses, the closest is named, with how close and what to change."""
    options = [priced(DEDICATED, 24.0, meets=False), priced(SHARED, 24.0, meets=False)]
    found = advise(*options)

    assert found.option is None
    assert "No option surely keeps the objective, 95.0 % of requests within 30.0 s" in found.reason
    assert "--max-gpus" in found.reason


@pytest.mark.parametrize(("days", "option"), [(0.999, None), (1.0, 1)])
def test_too_short(days: float, option: int | None) -> None:
    """Less than a day of history gives figures but no advice; a whole day is enough."""
    found = advise(priced(DEDICATED, 96.0), priced(SHARED, 24.0), days=days)

    assert option == found.option
    assert (option is None) == found.reason.startswith("No advice yet: 24.0 h of history")
    assert "USD 1,440 a month" in found.reason


def test_too_short_for_its_month() -> None:
    """An hour of history is too short for advice, even where it is asked for as a month's plan."""
    assert plans.document(every(60, 60), month="2026-10")["recommendation"]["option"] is None


def test_price_flips() -> None:
    """At the price where the advice flips both options cost the same; exactly."""
    options = [priced(DEDICATED, 96.0), priced(SHARED, 24.0), priced(ON_DEMAND, NOISY + 60)]
    draws, here = ten_days(), terms()
    found = recommend(options, draws, here, demand_of(every(HOUR, 240), days=10))
    hours = [option.monthly_hours(draws, here).value for option in options]

    assert [
        "one shared pool over on-demand GPUs",
        "one shared pool over dedicated GPUs for each service",
    ] == [flip.what.split(", ")[1].split(";")[0] for flip in found.flips_when]
    for flip, other in zip(found.flips_when, (2, 0), strict=True):
        dearer = plans.price(price_per_gpu_hour=Decimal(2) * Decimal(str(flip.at)))
        best, rival = ways.cost(hours[1], dearer), ways.cost(hours[other], plans.price())
        assert float(rival) == pytest.approx(float(best), rel=1e-6)


def test_no_flip_to_what_misses() -> None:
    """An option that misses the objective is cheaper at no price worth knowing."""
    found = advise(priced(DEDICATED, 96.0), priced(SHARED, 24.0), priced(ON_DEMAND, 5.0, meets=False))  # fmt: skip

    assert 1 == len(found.flips_when)


def alternating(count: int = 200) -> list[UsageRow]:
    """Two services that take turns, a quarter of an hour apart."""
    return [row(900.0 * k, 10.0, service="ab"[k % 2]) for k in range(count)]


def limit(found: dict[str, Any], what: str) -> float | None:
    """Return the value at which an assumption breaks the advice, if any."""
    flips = found["recommendation"]["flips_when"]
    return next((float(flip["at"]) for flip in flips if what in flip["what"]), None)


@pytest.mark.parametrize(("swap", "wait"), [(20.0, 30.0), (5.0, 30.0), (0.2, 0.5), (0.0, 0.5)])
def test_swap_limit(swap: float, wait: float) -> None:
    """A pool that swaps for every request misses as soon as a swap takes longer than the limit."""
    found = plans.document(alternating(), slo=f"p95_wait={wait}s", swap_seconds=swap)

    assert "shared" == found["recommendation"]["kind"]
    at = limit(found, "seconds to swap a model")
    assert at is not None
    assert wait * 0.99 <= at <= wait


def test_start_limit() -> None:
    """On-demand GPUs that start for every request miss as soon as a start takes longer."""
    found = plans.document(every(5 * HOUR, 150), slo="p95_wait=30s", start_seconds=10)

    assert "on_demand" == found["recommendation"]["kind"]
    at = limit(found, "seconds to start a GPU")
    assert at is not None
    assert 29.7 <= at <= 30.0


def test_start_limit_of_warm_gpus() -> None:
    """Requests that find a GPU warm do not mind how long a start takes."""
    days = [one for day in range(6) for one in every(900, 40, first=DAY * day)]
    found = plans.document(days, slo="p95_wait=30s", start_seconds=180)

    assert "on_demand" == found["recommendation"]["kind"]
    # one late request of a day's 40 is allowed; the next comes at 900 s and waits for the first
    assert limit(found, "seconds to start a GPU") == pytest.approx(900 - 10 + 30, rel=0.01)


def test_no_limit() -> None:
    """Where no plausible swap time would break the advice, none is stated."""
    found = plans.document(alternating(), slo="p95_wait=10m", swap_seconds=20, start_seconds=86_400)

    assert "shared" == found["recommendation"]["kind"]
    assert limit(found, "seconds to swap a model") is None
