"""plan.json: its contract, and figures that agree with each other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from lightmeter.errors import PlanError, PriceError
from planner import prices
from planner.options import OptionKind
from support import plans
from support.rows import every, row


HOUR = 3600.0
USAGE = [
    *every(HOUR / 2, 200, seconds=20.0),
    *every(HOUR / 2, 200, seconds=20.0),
    *every(HOUR * 3, 30, seconds=40.0, service="b", first=60.0),
]
PLAN = plans.document(USAGE)
PRICE = prices.builtin()["aws-g6e-l40s"].price_per_gpu_hour


def nulls(value: Any, path: str = "") -> Iterator[str]:
    """Name every null in a document."""
    if value is None:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()  # fmt: skip
    for key, inner in items:
        yield from nulls(inner, f"{path}/{key}")


def test_keys() -> None:
    """A reader finds every key of the contract."""
    assert {
        "schema", "month", "currency", "generated_from", "slo", "services", "options",
        "recommendation",
    } <= PLAN.keys()  # fmt: skip
    assert {"p95_wait_seconds": 30.0, "attainment": 0.95} == PLAN["slo"]
    assert (1, None, "USD") == (PLAN["schema"], PLAN["month"], PLAN["currency"])
    for service in PLAN["services"]:
        assert {
            "name", "requests", "gpu_seconds", "busy_gpus_mean", "busy_gpus_p95",
            "vram_peak_bytes",
        } <= service.keys()  # fmt: skip
    assert {"kind", "option", "saving_ratio", "saving_ci", "reason", "flips_when"} <= PLAN[
        "recommendation"
    ].keys()
    busy = plans.document(every(60.0, 2000, seconds=20.0), slo="p95_wait=1s")["recommendation"]
    assert busy["flips_when"]
    assert all({"what", "at"} <= flip.keys() for flip in busy["flips_when"])


def test_option_keys() -> None:
    """Every option has every key of the contract, and never a null."""
    assert ["dedicated", "shared", "on_demand"] == [option["kind"] for option in PLAN["options"]][
        :3
    ]
    assert {option["kind"] for option in PLAN["options"]} <= set(OptionKind)
    names = [option["name"] for option in PLAN["options"]]
    assert len(set(names)) == len(names)
    for option in PLAN["options"]:
        assert {
            "kind", "sku", "gpus", "placement", "monthly_cost", "monthly_cost_ci",
            "cost_per_1000_images", "wait_p50_seconds", "wait_p95_seconds", "wait_p99_seconds",
            "slo_attainment", "slo_attainment_ci", "utilization", "cold_starts", "meets_slo",
            "assumptions", "name", "sharing",
        } <= option.keys()  # fmt: skip
        assert [] == list(nulls(option))


def test_json() -> None:
    """The document is strict JSON, without NaN, and survives the round trip."""
    text = json.dumps(PLAN, allow_nan=False)

    assert text == json.dumps(json.loads(text))


def test_again() -> None:
    """The same history gives the same document, to the last digit; another seed another interval."""
    assert PLAN == plans.document(USAGE)
    assert PLAN != plans.document(USAGE, seed=2)


def test_recommendation() -> None:
    """The recommendation names an option of the list."""
    advice = PLAN["recommendation"]

    assert PLAN["options"][advice["option"]]["kind"] == advice["kind"]
    assert PLAN["options"][advice["option"]]["meets_slo"]


def test_no_recommendation() -> None:
    """Without advice the option is null and the reason says why; the options are all there."""
    found = plans.document(every(60, 60))

    assert {"option", "kind", "saving_ratio", "saving_ci", "measure"} == {
        key for key, value in found["recommendation"].items() if value is None
    }
    assert "No advice yet" in found["recommendation"]["reason"]
    assert 3 == len(found["options"])
    assert [] == list(nulls(found["options"]))


@pytest.mark.parametrize(("month", "hours"), [(None, 730), ("2026-10", 744)])
def test_money_by_hand(month: str | None, hours: int) -> None:
    """A rented GPU costs its price for every hour of the month; a month has 730 unless named."""
    found = plans.document(USAGE, month=month)
    option = found["options"][0]
    cents = round(float(option["gpus"] * hours * PRICE), 2)

    assert (month, 2) == (found["month"], option["gpus"])
    assert (cents, [cents, cents]) == (option["monthly_cost"], option["monthly_cost_ci"])


def test_cents() -> None:
    """Money is in whole cents, and lies in its interval."""
    for option in PLAN["options"]:
        low, high = option["monthly_cost_ci"]
        for amount in (option["monthly_cost"], option["cost_per_1000_images"], low, high):
            assert round(amount, 2) == amount > 0
        assert low <= option["monthly_cost"] <= high


@pytest.mark.parametrize(("month", "hours"), [(None, 730), ("2026-10", 744)])
def test_cost_of_images(month: str | None, hours: int) -> None:
    """The cost of 1,000 images is the month's cost over the month's images."""
    found = plans.document([row(1000.0 * k, 10.0, images=4) for k in range(100)], month=month)
    images = 400 / (99 * 1000 + 10) * hours * HOUR

    for option in found["options"]:
        expected = option["monthly_cost"] / images * 1000
        assert expected == pytest.approx(option["cost_per_1000_images"], abs=0.006)


def test_percentiles() -> None:
    """Of 100 requests at once, on one GPU, the 50th, 95th and 99th wait for those before them."""
    option = plans.document([row(0.0, 1.0) for _ in range(100)], max_gpus=1)["options"][0]

    assert [49.0, 94.0, 98.0] == [option[f"wait_p{q}_seconds"] for q in (50, 95, 99)]
    assert 0.31 == option["slo_attainment"]


def test_waits_and_attainment() -> None:
    """The percentiles ascend, and p95 keeps the limit exactly if 95 % of the requests do."""
    for option in [*PLAN["options"], *plans.document(USAGE, slo="p95_wait=1s")["options"]]:
        waits = [option[f"wait_p{q}_seconds"] for q in (50, 95, 99)]
        assert sorted(waits) == waits
        low, high = option["slo_attainment_ci"]
        assert 0 <= low <= option["slo_attainment"] <= high <= 1
    for wait in (1, 5, 30):
        for option in plans.document(USAGE, slo=f"p95_wait={wait}s")["options"]:
            within = option["wait_p95_seconds"] <= wait + 1e-6
            assert (option["slo_attainment"] >= 0.95) == within
            assert not option["meets_slo"] or option["slo_attainment_ci"][0] >= 0.95


def test_placement() -> None:
    """The GPUs of an option are those of its placement, and every service is placed once."""
    for option in PLAN["options"][:2]:
        assert option["gpus"] == sum(place["gpus"] for place in option["placement"])
    for option in PLAN["options"]:
        placed = [name for place in option["placement"] for name in place["services"]]
        assert ["a", "b"] == sorted(placed)


def test_utilization() -> None:
    """Utilisation is the GPU time used over the GPU time paid for."""
    span = 199 * HOUR / 2 + 20
    used = 400 * 20 + 30 * 40

    assert round(used / (2 * span), 6) == PLAN["options"][0]["utilization"]
    for option in PLAN["options"]:
        assert 0 < option["utilization"] <= 1


def test_evidence() -> None:
    """The document says what it was made from."""
    found = plans.document(
        [*USAGE, row(5.0, None, outcome="shed"), row(6.0, None, outcome="invalid")]
    )["generated_from"]

    assert {
        "history": "test",
        "rows": 432,
        "requests": 431,
        "requests_refused": 1,
        "rows_left_out": 1,
    } == {
        key: found[key]
        for key in ("history", "rows", "requests", "requests_refused", "rows_left_out")
    }
    assert ["1 request (0.2 %) ended refused or given up, unserved; they count as demand"] == found[
        "notes"
    ]
    assert "2026-10-01T00:00:00+00:00" == found["first"]
    assert (199 * HOUR / 2 + 20, 1000) == (found["span_seconds"], found["resamples"])


def test_part_of_a_month() -> None:
    """A month that the history covers in part is said to be so; a whole one is not."""
    part, whole = every(HOUR, 96, first=96 * HOUR, seconds=3600.0), every(HOUR, 24 * 31)
    notes = [
        plans.document(usage, month=month)["generated_from"]["notes"]
        for usage, month in ((part, "2026-10"), (whole, "2026-10"), (part, None))
    ]

    said = "the history covers 4.0 days of 2026-10; the rest is taken to be like it"
    assert [[said], [], []] == notes


@pytest.mark.parametrize(
    ("kind", "what", "value"),
    [
        ("shared", "seconds to swap a model", 11.0),
        ("on_demand", "seconds to start a GPU", 99.0),
        ("dedicated", "price of one L40S GPU-hour, USD", float(PRICE)),
    ],
)
def test_assumptions(kind: str, what: str, value: float) -> None:
    """What was not measured is listed with its value and source, where it matters."""
    found = plans.document(USAGE, swap_seconds=11, start_seconds=99)
    option = next(option for option in found["options"] if option["kind"] == kind)
    stated = {item["what"]: item["value"] for item in option["assumptions"]}

    assert value == stated[what]
    assert all(item["source"] for item in option["assumptions"])


def test_measured_share() -> None:
    """Where the history knows each request's share of its batch, that is no assumption."""
    known = [row(HOUR * k, 20.0, gpu_seconds=10.0) for k in range(30)]
    what = "GPU time of a request"

    assert what in {item["what"] for item in PLAN["options"][0]["assumptions"]}
    assert what not in {item["what"] for item in plans.document(known)["options"][0]["assumptions"]}


def test_too_large_for_the_gpu() -> None:
    """A service that never fitted the card is refused, by name and size; one that fits is not."""
    usage = [*every(HOUR, 30, service="big"), row(5.0, service="big", peak_vram_bytes=50 * 2**30)]

    with pytest.raises(PlanError, match=r"'big' peaked at 50.0 GiB, more than the 44.7 GiB"):
        plans.document(usage)
    assert plans.document(usage, sku="gcp-a3-h100")["services"][0]["vram_peak_bytes"] == 50 * 2**30


def test_bad_questions() -> None:
    """A question that cannot be answered is refused with what to change."""
    with pytest.raises(PriceError, match="'l40s' is in no price table"):
        plans.document(USAGE, sku="l40s")
    with pytest.raises(PlanError, match="not understood at 'p95=3s'"):
        plans.document(USAGE, slo="p95=3s")


def test_fewer_gpus_than_services() -> None:
    """Where dedicated GPUs are more than allowed, that is no option, and the others still are."""
    found = plans.document(USAGE, max_gpus=1, slo="p95_wait=2m", swap_seconds=5.0)
    dedicated, shared, *_ = found["options"]

    assert (2, False) == (dedicated["gpus"], dedicated["meets_slo"])
    assert (1, True) == (shared["gpus"], shared["meets_slo"])
    assert "more than plan.max_gpus allows (1)" in found["recommendation"]["reason"]
    assert "most GPUs that an option may use" in [one["what"] for one in dedicated["assumptions"]]
    assert "most GPUs that an option may use" not in [one["what"] for one in shared["assumptions"]]


def test_currency() -> None:
    """The currency is that of the SKU."""
    assert "CNY" == plans.document(USAGE, sku="alibaba-gn7i-a10")["currency"]


def test_waits_of_services() -> None:
    """Every option tells what each service waits, largest first, and its share within the limit."""
    for option in PLAN["options"]:
        assert ["a", "b"] == [service["name"] for service in option["services"]]
        assert [400, 30] == [service["requests"] for service in option["services"]]
        for service in option["services"]:
            waits = [service[f"wait_{name}_seconds"] for name in ("p50", "p95", "p99")]
            assert sorted(waits) == waits
            assert 0 <= service["slo_attainment"] <= 1
        assert "batch" not in option


def test_batch_told_apart() -> None:
    """Batch requests are told of apart from those that the objective is about."""
    urgent = [row(HOUR * n, 20.0, priority="interactive") for n in range(200)]
    batch = [row(HOUR * n - 1 + k / 10, 20.0, priority="batch") for n in range(1, 200) for k in range(8)]  # fmt: skip
    found = plans.document([*urgent, *batch], sweep_points=0)["options"][0]

    assert 19.0 == found["wait_p99_seconds"]
    assert 8 * 199 == found["batch"]["requests"]
    assert found["batch"]["wait_p95_seconds"] > 100
