"""What the advice rests on: the options, the demand, the outlook, the data, the assumptions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lightmeter.units import show_bytes
from planner.report import cards, figures
from planner.report.language import Language, money
from planner.report.parts import Head, Section, Table
from planner.report.payer import MOST_SERVICES, more


Document = dict[str, Any]
NAMED = 3
"""Options that an assumption names; more are counted."""


def options(document: Document, say: Language) -> Section:
    """Set the options side by side."""
    currency = document["currency"]
    heads = (
        Head(say("option"), "options[].name", words=True),
        Head(say("head.gpus"), "options[].gpus"),
        Head(say("a_month", currency=currency), "options[].monthly_cost"),
        Head(say("head.interval"), "options[].monthly_cost_ci"),
        Head(say("head.thousand"), "options[].cost_per_1000_images"),
        Head(say("head.p50"), "options[].wait_p50_seconds"),
        Head(say("head.p95"), "options[].wait_p95_seconds"),
        Head(say("head.p99"), "options[].wait_p99_seconds"),
        Head(say("head.in_time"), "options[].slo_attainment"),
        Head(say("head.use"), "options[].utilization"),
        Head(say("head.starts"), "options[].cold_starts"),
        Head(say("head.keeps"), "options[].meets_slo"),
    )
    rows = tuple(_option(option, say) for option in document["options"])
    table = Table(say("options.caption"), heads, rows, document["recommendation"]["option"])
    return Section("options", say("options.title"), tables=(table,), figure=figures.costs(document, say), note=say("options.note", **_resampled(document, say)), how=say("how.options"))  # fmt: skip


def _resampled(document: Document, say: Language) -> dict[str, str]:
    found = document["generated_from"]
    return {"resamples": f"{found['resamples']:,}", "block": say.duration(found["resample_block_seconds"])}  # fmt: skip


def _option(option: Document, say: Language) -> tuple[str, ...]:
    low, high = option["monthly_cost_ci"]
    kept = [say.ratio(bound) for bound in option["slo_attainment_ci"]]
    return (
        say.said(option["name"]),
        f"{option['gpus']:,}",
        money(option["monthly_cost"]),
        say("fixed") if low == high else f"{money(low)} \u2013 {money(high)}",
        "\u2013"
        if option["cost_per_1000_images"] is None
        else money(option["cost_per_1000_images"]),
        say.duration(option["wait_p50_seconds"]),
        say.duration(option["wait_p95_seconds"]),
        say.duration(option["wait_p99_seconds"]),
        f"{say.ratio(option['slo_attainment'])} ({kept[0]} \u2013 {kept[1]})",
        say.ratio(option["utilization"]),
        f"{option['cold_starts']:,}",
        say.yes(option["meets_slo"]),
    )


def spent(document: Document, say: Language) -> Section:
    """Say what was spent, and on whom."""
    actual, title = document.get("actual"), say("spent.title")
    if not actual:
        return Section("spent", title, missing=say("missing.actual"), fields=("actual",), how=say("how.actual"))  # fmt: skip
    words = say(
        "spent.words", gpus=f"{actual['gpus_held']:.3g}", source=say.said(actual["gpus_held_source"]),
        hours=f"{actual['gpu_hours']:,.1f}", cost=money(actual["cost"]), currency=document["currency"],
        price=say.said(actual["price_source"]), idle=say.ratio(actual["idle_ratio"]), idle_cost=money(actual["idle_cost"]),
    )  # fmt: skip
    fields = ("actual.gpus_held", "actual.gpu_hours", "actual.cost", "actual.idle_ratio", "actual.idle_cost")  # fmt: skip
    return Section("spent", title, (words,), fields=fields, how=say("how.actual"))


def services(document: Document, say: Language) -> Section:
    """Say what each service used, and what was spent on it."""
    actual = document.get("actual")
    heads = [
        Head(say("service"), "services[].name", words=True),
        Head(say("requests"), "services[].requests"),
        Head(say("head.gpu_seconds"), "services[].gpu_seconds"),
        Head(say("head.mean"), "services[].busy_gpus_mean"),
        Head(say("head.busy95"), "services[].busy_gpus_p95"),
        Head(say("head.vram"), "services[].vram_peak_bytes"),
    ]
    rows = [_service(one, say) for one in document["services"][:MOST_SERVICES]]
    if actual:
        heads += [
            Head(say("head.gpu_hours"), "actual.services[].gpu_hours"),
            Head(say("head.spent", currency=document["currency"]), "actual.services[].cost"),
        ]
        spent = {one["name"]: (f"{one['gpu_hours']:,.2f}", money(one["cost"])) for one in actual["services"]}  # fmt: skip
        rows = [(*row, *spent.get(row[0], ("\u2013", "\u2013"))) for row in rows]
        idle = f"{actual['idle_gpu_hours']:,.2f}", money(actual["idle_cost"])
        rows.append((say("spent.nobody"), *("\u2013" for _ in range(5)), *idle))
    table = Table(say("services.caption"), tuple(heads), tuple(rows), more=more(document, say))
    return Section("services", say("services.title"), tables=(table,), how=say("how.services"))


def _service(one: Document, say: Language) -> tuple[str, ...]:
    return (
        one["name"],
        f"{one['requests']:,}",
        f"{one['gpu_seconds']:,.0f}",
        f"{one['busy_gpus_mean']:.4f}",
        f"{one['busy_gpus_p95']:.2f}",
        say.size(one["vram_peak_bytes"]),
    )


def pictures(document: Document, say: Language) -> Iterator[Section]:
    """Draw demand, duration, load, price and packing, or say why not."""
    profile = document.get("profile")
    for key, draw, fields in (
        ("heat", figures.heat, ("profile.by_hour",)),
        ("duration", figures.duration, ("profile.duration", "profile.reserve")),
    ):
        drawn = draw(document, say) if profile else ""
        why = "" if drawn else say("missing.hours" if profile else "missing.profile")
        yield Section(key, say(f"{key}.title"), figure=drawn, missing=why, note=say(f"{key}.note") if drawn else "", fields=fields, how=say("how.profile"))  # fmt: skip
    for key, draw, fields in (
        ("load", figures.load, ("sensitivity[].points",)),
        ("price", figures.price, ("options[].monthly_cost", "sensitivity[].breaks_even")),
        ("packing", cards.packing, ("options[].placement", "services[].vram_peak_bytes")),
    ):
        drawn = draw(document, say)
        unadvised = key != "load" and cards.chosen(document) is None
        why = "" if drawn else say("missing.advice" if unadvised else f"missing.{key}")
        yield Section(key, say(f"{key}.title"), figure=drawn, missing=why, note=say(f"{key}.note") if drawn else "", fields=fields, how=say(f"how.{key}"))  # fmt: skip


def rightsizing(document: Document, say: Language) -> Section:
    """Say which part of a card each service wants, its batch, and what shorter starts would do."""
    found, title = document.get("rightsizing"), say("sizes.title")
    if not found:
        return Section("sizes", title, missing=say("missing.sizes"), fields=("rightsizing",), how=say("how.sizes"))  # fmt: skip
    sized = [one for one in found["services"] if one["vram"]]
    heads = (
        Head(say("service"), "rightsizing.services[].name", words=True),
        Head(say("head.vram"), "rightsizing.services[].vram.peak_bytes"),
        Head(say("head.slice"), "rightsizing.services[].vram.gpushare_gib"),
        Head(say("head.mig"), "rightsizing.services[].vram.mig_profile"),
        Head(say("head.fits"), "rightsizing.services[].vram.fits_per_gpu"),
        Head(say("head.measured"), "rightsizing.services[].vram.source", words=True),
    )
    rows = tuple(_sized(one, say) for one in sized[:MOST_SERVICES])
    tables = (Table(say("sizes.caption"), heads, rows),) if rows else ()
    words = (say("sizes.headroom", headroom=say.ratio(sized[0]["vram"]["headroom_ratio"])),) if sized else (say("sizes.none"),)  # fmt: skip
    batches = tuple(f"{one['name']}{say('colon')}{say.said(one['batch']['says'])}" for one in found["services"][:MOST_SERVICES] if one["batch"])  # fmt: skip
    starts = tuple(_start(one, document, say) for one in found["cold_start"])
    return Section("sizes", title, words, (*batches, *starts), tables, fields=("rightsizing.cold_start",), how=say("how.sizes"))  # fmt: skip


def _sized(one: Document, say: Language) -> tuple[str, ...]:
    vram = one["vram"]
    return (
        one["name"],
        show_bytes(vram["peak_bytes"]),
        f"{vram['gpushare_gib']} GiB",
        vram["mig_profile"] or "\u2013",
        f"{vram['fits_per_gpu']}",
        say.said(vram["source"]),
    )


def _start(one: Document, document: Document, say: Language) -> str:
    return say(
        "sizes.start", start=say.duration(one["start_seconds"]), cost=money(one["monthly_cost"]),
        currency=document["currency"], share=say.ratio(one["slo_attainment"]),
        verdict="" if one["meets_slo"] else say("sizes.misses"),
    )  # fmt: skip


def telemetry(document: Document, say: Language) -> Section:
    """Say what pods held, where that is known."""
    found, title = document.get("telemetry"), say("pods.title")
    if not found:
        return Section("pods", title, missing=say("missing.telemetry"), fields=("telemetry",), how=say("how.telemetry"))  # fmt: skip
    words = [say("pods.held", pods=f"{found['pods']:,}", gpus=f"{found['gpus_held_mean']:.3g}", first=say.moment(found["first"]), last=say.moment(found["last"]))]  # fmt: skip
    if found["gpus_busy_mean"] is not None:
        words = [say("pods.busy", pods=f"{found['pods']:,}", gpus=f"{found['gpus_held_mean']:.3g}", busy=f"{found['gpus_busy_mean']:.3g}", idle=say.ratio(found["idle_ratio"]), first=say.moment(found["first"]), last=say.moment(found["last"]))]  # fmt: skip
    if found["vram_p95_bytes"] is not None:
        words.append(say("pods.vram", p50=say.size(found["vram_p50_bytes"]), p95=say.size(found["vram_p95_bytes"])))  # fmt: skip
    words.append(
        f"{say('pods.check')}{say('colon')}{say.said(found['check']['says'])}{say('stop')}"
    )
    items = tuple(say.sentence(note) for note in found["notes"])
    fields = ("telemetry.pods", "telemetry.gpus_held_mean", "telemetry.gpus_busy_mean", "telemetry.vram_p50_bytes", "telemetry.vram_p95_bytes", "telemetry.check")  # fmt: skip
    return Section("pods", title, tuple(words), items, fields=fields, how=say("how.telemetry"))


def assumptions(document: Document, say: Language) -> Section:
    """List everything that was not measured, each once, with where its value comes from."""
    merged: dict[tuple[str, str, str], list[str]] = {}
    for option in document["options"]:
        for item in option["assumptions"]:
            merged.setdefault((item["what"], _value(item["value"]), item["source"]), []).append(option["name"])  # fmt: skip
    heads = (
        Head(say("head.what"), "options[].assumptions[].what", words=True),
        Head(say("head.value"), "options[].assumptions[].value", words=True),
        Head(say("head.source"), "options[].assumptions[].source", words=True),
        Head(say("head.applies"), "options[].name", words=True),
    )
    rows = tuple(
        (say.said(what), say.said(value), say.said(source), _applies(names, document, say))
        for (what, value, source), names in merged.items()
    )
    table = Table(say("rests.caption"), heads, rows)
    return Section("rests", say("rests.title"), tables=(table,), how=say("how.rests"))


def _value(value: float | str) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _applies(names: list[str], document: Document, say: Language) -> str:
    if len(names) == len(document["options"]):
        return say("every_option")
    if len(names) > NAMED:
        return say("options_count", count=len(names))
    return say("listed").join(say.said(name) for name in names)
