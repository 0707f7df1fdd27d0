"""Page one, for whoever pays: what was spent, what was idle, what to do, how sure, and when it flips."""

from __future__ import annotations

from calendar import monthrange
from typing import Any

from lightmeter.units import HOURS_PER_MONTH, SECONDS_PER_HOUR
from planner.report.cards import chosen
from planner.report.language import Language, money
from planner.report.parts import Fact, Head, Section, Table


Document = dict[str, Any]
MOST_SERVICES = 30
"""Services listed in the report; plan.json has them all."""
FEW_SERVICES = 12
"""Services on page one, so that it stays a page."""
PRICE = "price of a GPU-hour, "
"""How the flips of `recommend` that are about prices begin."""


def about(document: Document, say: Language) -> str:
    """Say what the report is about, in two sentences."""
    found, slo = document["generated_from"], document["slo"]
    return say(
        "about",
        requests=f"{found['requests']:,}",
        services=f"{len(document['services']):,}",
        services_word=say("service" if len(document["services"]) == 1 else "services"),
        first=say.moment(found["first"]),
        last=say.moment(found["last"]),
        span=say.duration(found["span_seconds"]),
        busy=f"{found['busy_gpus_mean']:.3g}",
        share=say.ratio(max(slo["attainment"], 0.95)),
        wait=say.duration(slo["p95_wait_seconds"]),
    )


def facts(document: Document, say: Language) -> tuple[Fact, ...]:
    """Return the figures that the payer looks for first."""
    return (
        *_spent(document, say),
        _advised(document, say),
        _saving(document, say),
        _price(document, say),
        _sure(document, say),
    )


def _spent(document: Document, say: Language) -> tuple[Fact, Fact]:
    actual, currency = document.get("actual"), document["currency"]
    if not actual:
        unknown = say("unknown")
        return (
            Fact(say("fact.spent"), unknown, say("fact.spent_unknown"), "actual"),
            Fact(say("fact.idle"), unknown, say("fact.spent_unknown"), "actual"),
        )
    hours = say(
        "fact.hours",
        span=say.duration(_span(actual)),
        gpus=f"{actual['gpus_held']:.3g}",
        rate=f"{currency} {money(_rate(document) or 0.0)}",
    )
    return (
        Fact(say("fact.spent"), f"{currency} {money(actual['cost'])}", hours, "actual.cost"),
        Fact(say("fact.idle"), say.ratio(actual["idle_ratio"]), say("fact.idle_cost", cost=f"{currency} {money(actual['idle_cost'])}"), "actual.idle_ratio"),
    )  # fmt: skip


def _span(actual: Document) -> float:
    """Seconds that the GPUs were held, all of them at once."""
    return float(actual["gpu_hours"] / actual["gpus_held"] * SECONDS_PER_HOUR)


def _rate(document: Document) -> float | None:
    """What was spent, at the same rate for a month as long as the options'; None where unknown."""
    actual, month = document.get("actual"), document["month"]
    if not actual or not actual["gpu_hours"]:
        return None
    hours = monthrange(int(month[:4]), int(month[5:]))[1] * 24 if month else HOURS_PER_MONTH
    return float(actual["cost"] / (_span(actual) / SECONDS_PER_HOUR) * hours)


def _advised(document: Document, say: Language) -> Fact:
    option = chosen(document)
    if option is None:
        return Fact(say("fact.advised"), say("fact.none"), say("fact.none_about"), "recommendation.option")  # fmt: skip
    return Fact(
        say("fact.advised"),
        f"{document['currency']} {money(option['monthly_cost'])}",
        f"{say.said(option['name'])}{say('colon')}{say.gpus(option['gpus'])}",
        f"options[{document['recommendation']['option']}].monthly_cost",
    )


def _saving(document: Document, say: Language) -> Fact:
    advice = document["recommendation"]
    if advice["saving_ratio"] is None:
        return Fact(
            say("fact.saving"), "\u2013", say("fact.no_saving"), "recommendation.saving_ratio"
        )
    low, high = advice["saving_ci"]
    if low == high:
        words = say("fact.fixed")
    else:
        words = say("fact.interval", low=say.ratio(low), high=say.ratio(high))
    about = f"{words}{say('space')}{say('fact.against')}"
    rate, option = _rate(document), chosen(document)
    if rate and option:
        about += say("fact.against_spent", share=say.ratio(1 - option["monthly_cost"] / rate))
    return Fact(say("fact.saving"), say.ratio(advice["saving_ratio"]), about, "recommendation.saving_ratio")  # fmt: skip


def _price(document: Document, say: Language) -> Fact:
    ratios = [flip["at"] for flip in document["recommendation"]["flips_when"] if flip["what"].startswith(PRICE)]  # fmt: skip
    if document["recommendation"]["option"] is None:
        return Fact(say("fact.flips"), "\u2013", say("fact.no_saving"), "recommendation.flips_when")
    if not ratios:
        return Fact(say("fact.flips"), "\u2013", say("fact.no_flip"), "recommendation.flips_when")
    return Fact(say("fact.flips"), f"{min(ratios):.4g}\u00d7", say("fact.flips_about"), "recommendation.flips_when[].at")  # fmt: skip


def _sure(document: Document, say: Language) -> Fact:
    quality, held = document.get("quality"), document.get("calibration") or {}
    if not quality:
        return Fact(say("fact.sure"), say("unknown"), say("missing.quality"), "quality")
    if held.get("error") is None:
        words = say("fact.not_calibrated")
    else:
        words = say("fact.calibrated", error=say.ratio(held["error"]))
    return Fact(say("fact.sure"), say("fact.grade", grade=quality["grade"]), words, "quality.grade")


def services(document: Document, say: Language) -> Section:
    """Say of each service what to do, and what its users then wait."""
    option, index = chosen(document), document["recommendation"]["option"]
    listed = document["services"][:FEW_SERVICES]
    waits = {one["name"]: one for one in (option or {}).get("services", ())}
    places = {name: place for place in (option or {}).get("placement", ()) for name in place["services"]}  # fmt: skip
    spent = {one["name"]: one["cost"] for one in (document.get("actual") or {}).get("services", ())}
    rows = tuple(
        (
            one["name"],
            f"{one['requests']:,}",
            money(spent[one["name"]]) if one["name"] in spent else "\u2013",
            say("do.nothing") if option is None else todo(option, places.get(one["name"]), say),
            say.duration(waits[one["name"]]["wait_p95_seconds"])
            if one["name"] in waits
            else "\u2013",
            say.ratio(waits[one["name"]]["slo_attainment"]) if one["name"] in waits else "\u2013",
        )
        for one in listed
    )
    field = f"options[{index}]" if index is not None else "recommendation"
    heads = (
        Head(say("service"), "services[].name", words=True),
        Head(say("requests"), "services[].requests"),
        Head(say("head.spent", currency=document["currency"]), "actual.services[].cost"),
        Head(say("head.do"), f"{field}.placement[]" if option else field, words=True),
        Head(say("head.wait"), f"{field}.services[].wait_p95_seconds" if option else ""),
        Head(say("head.in_time"), f"{field}.services[].slo_attainment" if option else ""),
    )
    table = Table(say("payer.caption"), heads, rows, more=more(document, say, FEW_SERVICES))
    return Section("advice", say("payer.title"), tables=(table,), how=say("how.advice"))


def todo(option: Document, place: Document | None, say: Language) -> str:
    """Say what to do with a service, without jargon."""
    if place is None:
        return say.said(option["name"])
    gpus, others = say.gpus(place["gpus"]), len(place["services"]) - 1
    if others:
        cut = f" ({place['slice']})" if place["slice"] else ""
        return say("do.share", gpus=gpus, others=others) + cut
    if option["kind"] in {"on_demand", "hybrid"}:
        return say(f"do.{option['kind']}", gpus=gpus)
    return say("do.own", gpus=gpus)


def more(document: Document, say: Language, shown: int = MOST_SERVICES) -> str:
    """Say how many services a table leaves out."""
    left = len(document["services"]) - shown
    return say("more", count=f"{left:,}") if left > 0 else ""


def flips(document: Document, say: Language) -> Section:
    """Say what would change the advice, from which value on, and to what."""
    found = document["recommendation"]["flips_when"]
    if not found:
        return Section("flips", say("flips.title"), missing=say("missing.flips"), fields=("recommendation.flips_when",), how=say("how.flips"))  # fmt: skip
    heads = (
        Head(say("flips.what"), "recommendation.flips_when[].what", words=True),
        Head(say("flips.at"), "recommendation.flips_when[].at"),
        Head(say("flips.then"), words=True),
    )
    table = Table(say("flips.caption"), heads, tuple(_flip(flip, say) for flip in found))
    return Section("flips", say("flips.title"), tables=(table,), how=say("how.flips"))


def _flip(flip: Document, say: Language) -> tuple[str, str, str]:
    what, _, then = flip["what"].partition("; ")
    if what.startswith(PRICE):
        return say("flips.price", other=say.said(what.rpartition(" over ")[2])), f"{flip['at']:.4g}\u00d7", say("flips.cheaper")  # fmt: skip
    return say.said(what), f"{flip['at']:.4g}", say.said(then.removeprefix("above it ").removeprefix("from there on "))  # fmt: skip
