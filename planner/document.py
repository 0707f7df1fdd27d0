"""plan.json: the contract of the cost report, schema 1. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from lightmeter.units import cents
from planner import waits
from planner.certainty import Draws
from planner.demand import Demand, describe
from planner.options import Option, OptionKind, Placement, Sharing, Terms, cost, quantile
from planner.prices import billing
from planner.recommend import Recommendation


SCHEMA = 1


@dataclass(frozen=True)
class Assumption:
    """An input that was not measured on this history, and where its value comes from."""

    what: str
    value: float | str
    source: str


def assumptions(option: Option, demand: Demand, terms: Terms) -> list[Assumption]:
    """List what an option rests on besides the history."""
    own, most = (Assumption(*fact) for fact in option.facts), terms.max_gpus
    terms = option.under or terms
    found = [*_common(demand, terms), *_OF_KIND[option.kind](option, terms), *own]
    if option.gpus > most:
        found.append(Assumption("most GPUs that an option may use", most, "setting plan.max_gpus; this option takes more, so it does not keep the objective"))  # fmt: skip
    return found


def _common(demand: Demand, terms: Terms) -> Iterator[Assumption]:
    price = terms.price
    yield Assumption(
        f"price of one {price.gpu} GPU-hour, {price.currency}",
        float(price.price_per_gpu_hour),
        f"{price.provider} {price.instance} {price.region}, list price as of {price.asof}, {price.source}",
    )
    yield Assumption(
        "discount for committed use",
        terms.discount or "none",
        "setting plan.discount"
        if terms.discount
        else "no price list states it; bring your own with --prices",
    )
    yield Assumption("speed of this GPU over the one in the history", 1.0, "not measured")
    if demand.refused:
        yield Assumption(
            "GPU time of a request that was refused or given up",
            "the median of its service",
            f"{demand.refused} of {len(demand.arrivals)} requests; a client that tried again counts each time",
        )
    whole = len(demand.arrivals) - demand.refused - demand.shared_time
    if whole > 0:
        yield Assumption(
            "GPU time of a request",
            "its whole service time",
            f"{whole:,} rows do not state their share of a batch; a time seen by the client overstates it",
        )


def _of_pool(option: Option, terms: Terms) -> Iterator[Assumption]:
    if option.sharing is Sharing.SLEEP:
        yield Assumption(
            "seconds to wake a model",
            terms.wake_seconds or 0.0,
            "setting plan.wake_seconds; its default is the slow end of what vLLM publishes, https://blog.vllm.ai/2025/10/26/sleep-mode.html",
        )
        yield Assumption("host memory", "holds the weights of every model", "not measured")
    elif option.sharing is Sharing.SWAP:
        yield Assumption(
            "seconds to swap a model",
            terms.swap_seconds,
            "setting plan.swap_seconds; its default is the median base-model load of GenTD26",
        )
    else:
        return
    yield Assumption(
        "models resident on a GPU", 1, "the cautious choice; with more there are fewer swaps"
    )


def _of_on_demand(option: Option, terms: Terms) -> Iterator[Assumption]:
    told = any(one.price == terms.price and one.start_seconds is not None for one in terms.vendors)
    yield Assumption(
        "seconds to start a GPU",
        terms.start_seconds,
        "stated with --on-demand"
        if told and option.under is not None
        else "setting plan.start_seconds; its default is the middle of the 2 to 4 minutes that a published case states",
    )
    yield Assumption(
        "idle seconds before release",
        option.idle_seconds or 0.0,
        "the best of those tried by replay",
    )
    yield Assumption(
        "billing granularity and minimum, seconds",
        f"{terms.price.granularity_seconds:g}, {terms.price.minimum_seconds:g}",
        billing(terms.price),
    )
    yield Assumption(
        "when a GPU is started",
        "when no running one is free before it would be ready",
        "a scheduler that knows how long the running requests take",
    )


_OF_KIND: dict[OptionKind, Callable[[Option, Terms], Iterator[Assumption]]] = {
    OptionKind.DEDICATED: lambda _option, _terms: iter(()),
    OptionKind.SHARED: _of_pool,
    OptionKind.ON_DEMAND: _of_on_demand,
    OptionKind.HYBRID: _of_on_demand,
}


def build(
    demand: Demand,
    draws: Draws,
    terms: Terms,
    *,
    options: list[Option],
    advice: Recommendation,
    generated_from: Mapping[str, Any],
    month: str | None,
) -> dict[str, Any]:
    """Assemble the document; money is a JSON number of ``currency``, rounded to cents."""
    return {
        "schema": SCHEMA,
        "month": month,
        "currency": terms.price.currency,
        "generated_from": {**generated_from, **_evidence(demand, draws)},
        "slo": {"p95_wait_seconds": terms.slo.wait_seconds, "attainment": terms.slo.attainment},
        "services": describe(demand),
        "options": [_option(option, demand, draws, terms) for option in options],
        "recommendation": _recommendation(options, advice),
    }


def _evidence(demand: Demand, draws: Draws) -> dict[str, Any]:
    return {
        "first": demand.start.isoformat(),
        "last": demand.end.isoformat(),
        "span_seconds": round(demand.span_seconds, 3),
        "requests": len(demand.arrivals),
        "requests_refused": demand.refused,
        "rows_left_out": demand.left_out,
        "busy_gpus_mean": round(demand.busy_gpus, 6),
        "resamples": len(draws.weights),
        "resample_block_seconds": round(draws.block_seconds, 3),
    }


def _number(amount: Decimal) -> float:
    return float(cents(amount))


def _option(option: Option, demand: Demand, draws: Draws, terms: Terms) -> dict[str, Any]:
    month = option.monthly_hours(draws, terms)
    hours, low, high = month.value, max(0.0, month.low), month.high
    images_a_month = float(demand.images.sum()) / demand.span_seconds * terms.month_hours * 3600
    provisioned = option.held_hours * 3600
    return {
        "kind": option.kind.value,
        "name": option.title,
        "sharing": option.sharing.value,
        "sku": "+".join(_skus(option, terms)),
        "gpus": option.gpus,
        "placement": [_placement(place, terms) for place in option.placement],
        "monthly_cost": _number(cost(hours, terms.price)),
        "monthly_cost_ci": [_number(cost(low, terms.price)), _number(cost(high, terms.price))],
        "cost_per_1000_images": _number(cost(hours / images_a_month * 1000, terms.price))
        if images_a_month
        else None,
        **{
            f"wait_{name}_seconds": _quantile(option, q)
            for name, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
        },
        "slo_attainment": round(option.attainment, 6),
        "slo_attainment_ci": [round(bound, 6) for bound in option.attainment_ci],
        **_told_apart(option, demand),
        "services": waits.by_service(option, demand, terms),
        "utilization": round(float(demand.seconds.sum()) / provisioned, 6),
        "cold_starts": option.cold_starts,
        "meets_slo": option.meets_slo,
        "assumptions": [asdict(item) for item in assumptions(option, demand, terms)],
    }


def _told_apart(option: Option, demand: Demand) -> dict[str, Any]:
    """Waits of the batch requests, where there are interactive ones beside them."""
    if demand.ranks is None:
        return {}
    return {"batch": waits.quantiles(option.waits[~demand.judged])}


def _placement(place: Placement, terms: Terms) -> dict[str, Any]:
    return asdict(place) | {
        "wait_p95_seconds": round(place.wait_p95_seconds, 6),
        "sku": place.sku or terms.price.sku,
    }


def _skus(option: Option, terms: Terms) -> list[str]:
    """The SKUs of its GPUs, the plan's first."""
    return list(
        dict.fromkeys(
            sorted(
                (place.sku or terms.price.sku for place in option.placement),
                key=lambda sku: (sku != terms.price.sku, sku),
            )
        )
    )


def _quantile(option: Option, q: float) -> float:
    return round(quantile(option.asked_waits, q), 6)


def _recommendation(options: list[Option], advice: Recommendation) -> dict[str, Any]:
    return {
        "kind": None if advice.option is None else options[advice.option].kind.value,
        "option": advice.option,
        "saving_ratio": None if advice.saving_ratio is None else round(advice.saving_ratio, 6),
        "saving_ci": None
        if advice.saving_ci is None
        else [round(bound, 6) for bound in advice.saving_ci],
        "reason": advice.reason,
        "measure": None if advice.doubt is None else asdict(advice.doubt),
        "flips_when": [asdict(flip) for flip in advice.flips_when],
    }
