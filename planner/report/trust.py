"""How far the figures can be trusted: outlook, calibration, data, and what became of last month's advice."""

from __future__ import annotations

from typing import Any

from planner.report import cards, figures
from planner.report.language import Language, money
from planner.report.parts import Head, Section, Table


Document = dict[str, Any]


def forecast(document: Document, say: Language) -> Section:
    """Say what load is expected, how it was tested, and whether the advice holds under it."""
    outlook, title = document.get("outlook"), say("forecast.title")
    if not outlook:
        return Section("forecast", title, missing=say("missing.outlook"), fields=("outlook",), how=say("how.outlook"))  # fmt: skip
    low, high = outlook["load_factor_ci"]
    kept = {True: "forecast.keeps", False: "forecast.misses"}.get(outlook.get("meets_slo"), "forecast.unknown")  # fmt: skip
    words = (
        say("forecast.words", days=outlook["days"], factor=f"{outlook['load_factor']:.2f}", low=f"{low:.2f}", high=f"{high:.2f}", source=say.said(outlook["source"])),
        f"{say.sentence(outlook['reason'])}{say('space')}{say(kept)}",
    )  # fmt: skip
    tested = outlook.get("backtest")
    tables = () if not tested else (_backtest(tested, say),)
    figure = figures.forecast(document, say) if document.get("profile") else ""
    missing = "" if figure else say("missing.forecast")
    return Section("forecast", title, words, (), tables, figure, missing, say("forecast.note") if figure else "", ("outlook.load_factor", "outlook.load_factor_ci", "outlook.source", "outlook.reason", "profile.by_day"), say("how.outlook"))  # fmt: skip


def _backtest(tested: Document, say: Language) -> Table:
    heads = (
        Head(say("backtest.measure"), words=True),
        Head(say("backtest.ours"), "outlook.backtest"),
        Head(say("backtest.naive"), "outlook.backtest"),
    )
    rows = (
        ("MASE", f"{tested['mase']:.2f}", f"{tested['mase_naive']:.2f}"),
        ("WAPE", f"{tested['wape']:.2f}", f"{tested['wape_naive']:.2f}"),
    )
    caption = say("backtest.caption", origins=tested["origins"], days=tested["days"])
    return Table(caption, heads, rows)


def calibration(document: Document, say: Language) -> Section:
    """Say how well the waits that were are foretold."""
    found, title = document.get("calibration"), say("calibration.title")
    if not found:
        return Section("calibration", title, missing=say("missing.calibration"), fields=("calibration",), how=say("how.calibration"))  # fmt: skip
    figure = cards.calibration(document, say)
    heads = (
        Head(say("calibration.share"), "calibration.quantiles[].q"),
        Head(say("predicted"), "calibration.quantiles[].predicted_seconds"),
        Head(say("observed"), "calibration.quantiles[].observed_seconds"),
    )
    rows = tuple((say.ratio(one["q"]), say.duration(one["predicted_seconds"]), say.duration(one["observed_seconds"])) for one in found["quantiles"])  # fmt: skip
    tables = (Table(say("calibration.caption"), heads, rows),) if rows else ()
    missing = "" if figure else say("missing.observed")
    return Section("calibration", title, (say.sentence(found["reason"]),), (), tables, figure, missing, fields=("calibration.reason", "calibration.error"), how=say("how.calibration"))  # fmt: skip


def quality(document: Document, say: Language) -> Section:
    """Grade the history, and say what was left out of it."""
    found, data = document.get("quality"), document["generated_from"]
    words = [say("data.rows", rows=f"{data['rows']:,}", left=f"{data['rows_left_out']:,}", refused=f"{data['requests_refused']:,}")]  # fmt: skip
    items = [say.sentence(note) for note in data["notes"]]
    missing = "" if found else say("missing.quality")
    if found:
        words.insert(
            0, say("data.grade", grade=found["grade"], span=say.duration(86_400 * found["days"]))
        )
        items = [*(f"{flaw['grade']}{say('colon')}{say.said(flaw['reason'])}{say('stop')}" for flaw in found["flaws"]), *items]  # fmt: skip
    fields = ("quality.grade", "quality.flaws", "generated_from.rows", "generated_from.rows_left_out", "generated_from.requests_refused", "generated_from.notes")  # fmt: skip
    return Section("data", say("data.title"), tuple(words), tuple(items), missing=missing, fields=fields, how=say("how.quality"))  # fmt: skip


def previous(document: Document, say: Language) -> Section:
    """Say what has changed since the plan before, and whether its saving came."""
    found, title = document.get("previous"), say("previous.title")
    if not found:
        return Section("previous", title, missing=say("missing.previous"), fields=("previous",), how=say("how.previous"))  # fmt: skip
    heads = (
        Head(say("previous.what"), words=True),
        Head(say("previous.before"), "previous"),
        Head(say("previous.now"), "previous"),
    )
    load, rate = found["load"], found["requests_per_day"]
    rows = [
        (say("busy_gpus"), _number(load["before"], ".3g"), _number(load["now"], ".3g")),
        (say("previous.rate"), _number(rate["before"], ",.1f"), _number(rate["now"], ",.1f")),
    ]
    currency = document["currency"]
    rows += [
        (f"{say.said(one['name'])}{say('listed')}{currency}", _number(one["monthly_cost_before"], ",.2f"), _number(one["monthly_cost_now"], ",.2f"))
        for one in found["options"]
    ]  # fmt: skip
    before = say("previous.none") if found["advice"] is None else say.said(found["advice"])
    words = (
        say("previous.changed" if found["advice_changed"] else "previous.same", before=before, month=found["month"] or say("previous.earlier")),
        _realised(found["saving"], currency, say),
    )  # fmt: skip
    return Section("previous", title, words, tables=(Table(say("previous.caption"), heads, tuple(rows)),), fields=("previous.advice", "previous.load", "previous.requests_per_day", "previous.options", "previous.saving"), how=say("how.previous"))  # fmt: skip


def _number(value: float | None, how: str) -> str:
    return "\u2013" if value is None else format(value, how)


def _realised(saving: Document, currency: str, say: Language) -> str:
    if "realised_ratio" not in saving:
        return f"{say('previous.unknown')}{say('colon')}{say.said(saving['reason'])}{say('stop')}"
    promised = saving.get("promised_ratio")
    return say(
        "previous.saving", spent=f"{currency} {money(saving['spent'])}",
        advised=f"{currency} {money(saving['advised_cost'])}", dedicated=f"{currency} {money(saving['dedicated_cost'])}",
        promised="\u2013" if promised is None else say.ratio(promised), realised=say("previous.came" if saving["realised_ratio"] >= 0 else "previous.more", share=say.ratio(abs(saving["realised_ratio"]))),
        reason=say.said(saving["reason"]),
    )  # fmt: skip


def origins(document: Document, sections: tuple[Section, ...], say: Language) -> Section:
    """Say where each number comes from: its field in plan.json, and how that came about."""
    found = document["generated_from"]
    words = (
        say("origins.query", history=str(found["history"]), first=found["first"], last=found["last"], rows=f"{found['rows']:,}"),
        say("origins.words"),
    )  # fmt: skip
    heads = (
        Head(say("origins.section"), words=True),
        Head(say("origins.fields"), words=True),
        Head(say("origins.how"), words=True),
    )
    rows = tuple((one.title, ", ".join(one.origins), one.how) for one in sections)
    return Section("origins", say("origins.title"), words, tables=(Table(say("origins.caption"), heads, rows),))  # fmt: skip
