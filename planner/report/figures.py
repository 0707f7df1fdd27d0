"""The pictures of the demand and of what it costs; colours are the page's."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from lightmeter.svg import Frame, Scale, decades, linear, logarithmic, ticks
from planner.report.language import Language, money


Document = dict[str, Any]
Line = list[tuple[float, Document]]
"""An option at each value of an input."""
SHADES = 6
"""Classes of the heat map, ``heat-0`` (nothing) to ``heat-6``."""
MANY_TIMES = 6.0
NAME_ROOM = 262.0
SHOWN = 5
"""Lines that a chart tells apart."""
WIDE = 760.0
LETTER, GLYPH = 6.1, 11.5
"""Mean width of a Latin letter and of a Chinese character at the size of the charts, in user units."""


def width(words: str) -> float:
    """Guess the width of words, in user units."""
    return sum(GLYPH if ord(letter) > 0x2E80 else LETTER for letter in words)  # noqa: PLR2004  (where CJK begins)


def fitted(words: str, room: float) -> str:
    """Cut words to fit a room."""
    if width(words) <= room:
        return words
    while words and width(words) > room - GLYPH:
        words = words[:-1]
    return f"{words.rstrip()}…"


def costs(document: Document, say: Language) -> str:
    """Draw what each option costs a month, with its interval; those that keep the objective stand out."""
    options = document["options"]
    high = max([option["monthly_cost_ci"][1] for option in options] + [0.0]) or 1.0
    step = 38.0
    frame = Frame(
        say("costs.title"),
        say("costs.about", count=len(options), currency=document["currency"]),
        linear(0, high * 1.02),
        linear(len(options), 0),
        size=(WIDE, 26 + step * len(options)),
        margin=(0.0, 210.0, 26.0, 4.0),
    )
    for row, option in enumerate(options):
        _bar(frame, row, option, say)
    frame.grid_x(ticks(high, 5), lambda value: f"{value:,.0f}")
    return frame.draw("fig-costs")


def _bar(frame: Frame, row: int, option: Document, say: Language) -> None:
    amount, (low, high) = option["monthly_cost"], option["monthly_cost_ci"]
    kind = "keeps" if option["meets_slo"] else "misses"
    frame.box((0, row + 0.45, amount, row + 0.78), f"bar {kind}", say.said(option["name"]))
    if high > low:
        frame.line([(low, row + 0.615), (high, row + 0.615)], "span")
        for end in (low, high):
            frame.line([(end, row + 0.53), (end, row + 0.7)], "span")
    frame.text((4, frame.place(0, row + 0.34)[1]), say.said(option["name"]), kind="name")
    at, level = frame.place(max(amount, high), row + 0.72)
    note = f"{money(amount)} · {say.gpus(option['gpus'])} · p95 {say.duration(option['wait_p95_seconds'])}"
    frame.text((at + 8, level), note)


def heat(document: Document, say: Language) -> str:
    """Draw the mean of the busy GPUs at each hour of the week."""
    rows = document["profile"]["by_hour"]
    known = [cell for row in rows for cell in row if cell is not None]
    if not known:
        return ""
    most = max(known)
    frame = Frame(
        say("heat.title"),
        say("heat.about", most=f"{most:.2f}"),
        linear(0, 24),
        linear(7, 0),
        size=(WIDE, 236.0),
        margin=(8.0, 8.0, 46.0, 56.0),
    )
    days = say("days").split(" ")
    for day, row in enumerate(rows):
        frame.text((48, frame.place(0, day + 0.64)[1]), days[day], anchor="end")
        for hour, cell in enumerate(row):
            words = say("heat.none") if cell is None else f"{cell:.2f}"
            kind = "none" if cell is None else str(_shade(cell, most))
            frame.box((hour + 0.04, day + 0.06, hour + 0.96, day + 0.94), f"heat-{kind}", f"{days[day]} {hour:02}:00 {words}")  # fmt: skip
    for hour in range(0, 24, 3):
        frame.text((frame.place(hour + 0.5, 0)[0], 206), f"{hour:02}", anchor="middle")
    _key(frame, most, say)
    return frame.draw("fig-heat")


def _shade(value: float, most: float) -> int:
    return min(SHADES, 1 + int(value / most * SHADES)) if value > 0 else 0


def _key(frame: Frame, most: float, say: Language) -> None:
    """Tell the shades of the heat map in words below it."""
    left, words = 420.0, say("heat.key")
    frame.text((left - 8, 230), words, anchor="end", kind="axis")
    for shade in range(1, SHADES + 1):
        high = most * shade / SHADES
        frame.parts.append(f'<rect class="heat-{shade}" x="{left:.0f}" y="221" width="20" height="10"/>')  # fmt: skip
        frame.text((left + 24, 230), f"{high:.1f}" if most >= SHADES else f"{high:.2f}")
        left += 56


def duration(document: Document, say: Language) -> str:
    """Draw how many GPUs were busy for how much of the time, and up to where renting pays."""
    profile = document["profile"]
    points = [(100 * one["share"], one["busy_gpus"]) for one in profile["duration"]]
    reserve = profile["reserve"]
    held = (document.get("actual") or {}).get("gpus_held") or 0.0
    high = max(points[0][1], reserve["gpus"], held) * 1.08 or 1.0
    frame = Frame(
        say("duration.title"), say("duration.about"), linear(0, 100), linear(0, high),
        margin=(28.0, 24.0, 44.0, 56.0),
    )  # fmt: skip
    frame.grid_y(ticks(high), lambda value: f"{value:g}")
    frame.grid_x([0, 20, 40, 60, 80, 100], lambda value: f"{value:g} %")
    frame.name_axes(say("duration.x"), say("busy_gpus"))
    frame.area(points, "busy")
    frame.line(points, "first")
    if reserve["gpus"]:
        frame.level(reserve["gpus"], say("duration.reserve", gpus=reserve["gpus"]))
    if held:
        frame.level(held, say("duration.held", gpus=f"{held:g}"))
    if reserve["share"] < 1:
        frame.rule(
            100 * reserve["share"],
            say("duration.share", share=say.ratio(reserve["share"])),
            high=True,
        )
    return frame.draw("fig-duration")


def swept(document: Document, key: str) -> Document | None:
    """Return what was tried of an input; None where nothing was."""
    found = (one for one in document.get("sensitivity") or () if one["input"] == key)
    return next((one for one in found if len(one.get("points") or ()) > 1), None)


def load(document: Document, say: Language) -> str:
    """Draw what the options cost over the load, each sized anew, and where the advice changes."""
    entry = swept(document, "load")
    if entry is None:
        return ""
    points = entry["points"]
    lines = _alike([(name, [(point["at"], option) for point in points for option in point["options"] if option["name"] == name]) for name in _named(document, points)], say)  # fmt: skip
    scale, marks = _scale([option["monthly_cost"] for line in lines.values() for _, option in line])
    frame = Frame(
        say("load.title"), say("load.about", currency=document["currency"]),
        linear(points[0]["at"], points[-1]["at"]), scale, margin=(28.0, 290.0, 44.0, 70.0),
    )  # fmt: skip
    frame.grid_y(marks, lambda value: f"{value:,.0f}")
    frame.grid_x([0.5, 1.0, 1.5, 2.0], lambda value: f"{value:g}\u00d7")
    frame.name_axes(say("load.x"), say("a_month", currency=document["currency"]))
    for flip in entry["flips"]:
        frame.rule(flip["at"], f"{flip['at']:.4g}\u00d7", high=True)
    for place, (name, line) in enumerate(lines.items()):
        costs_at = [(at, option["monthly_cost"]) for at, option in line]
        frame.line(costs_at, f"c{place}")
        for (at, amount), (_, option) in zip(costs_at, line, strict=True):
            word = f"{name}, {at:g}\u00d7: {money(amount)}, {say.ratio(option['slo_attainment'])}"
            frame.dot(
                (at, amount), word, f"small c{place}{'' if option['meets_slo'] else ' hollow'}"
            )
    frame.labels([(name, line[-1][1]["monthly_cost"], f"c{place}") for place, (name, line) in enumerate(lines.items())])  # fmt: skip
    return frame.draw("fig-load")


def _scale(costs: Sequence[float]) -> tuple[Scale, list[float]]:
    """Scale money from nothing on, or by its logarithm where some of it is many times the rest."""
    low, high = min(costs), max(costs)
    if low > 0 and high / low > MANY_TIMES:
        return logarithmic(low / 1.3, high * 1.3), decades(low / 1.3, high * 1.3)
    high = high * 1.08 or 1.0
    return linear(0, high), ticks(high)


def _named(document: Document, points: Sequence[Document]) -> list[str]:
    """Name the options that are drawn: the advised one, those advised elsewhere, then the cheapest that keep it."""
    advised = [point["advice"] for point in points if point["advice"]]
    index = document["recommendation"]["option"]
    chosen = [] if index is None else [document["options"][index]["name"]]
    everywhere = set.intersection(*[{option["name"] for option in point["options"]} for point in points])  # fmt: skip
    cheap = sorted(document["options"], key=lambda option: (not option["meets_slo"], option["monthly_cost"]))  # fmt: skip
    wanted = dict.fromkeys([*chosen, *advised, *[option["name"] for option in cheap]])
    return [name for name in wanted if name in everywhere]


def _alike(lines: Sequence[tuple[str, Line]], say: Language) -> dict[str, Line]:
    """Take the first lines, each once: what costs the same everywhere is counted behind the first's name."""
    groups: dict[tuple[float, ...], list[tuple[str, Line]]] = {}
    for name, line in lines:
        groups.setdefault(tuple(option["monthly_cost"] for _, option in line), []).append((name, line))  # fmt: skip
    return {_label(say.said(same[0][0]), len(same) - 1): same[0][1] for same in list(groups.values())[:SHOWN]}  # fmt: skip


def _label(name: str, others: int) -> str:
    return f"{fitted(name, NAME_ROOM - 24)} +{others}" if others else fitted(name, NAME_ROOM)


def price(document: Document, say: Language) -> str:
    """Draw the advised option's cost over its price, against the others at theirs; lines cross at flips."""
    index = document["recommendation"]["option"]
    if index is None:
        return ""
    ours = document["options"][index]
    kept = sorted((option for option in document["options"] if option is not ours and option["meets_slo"] and option["monthly_cost"] > 0), key=lambda option: float(option["monthly_cost"]))  # fmt: skip
    alike = _alike([(option["name"], [(1.0, option)]) for option in kept], say)
    others = [(name, line[0][1]["monthly_cost"]) for name, line in alike.items()][: SHOWN - 1]
    if not others or not ours["monthly_cost"]:
        return ""
    last = min(4.0, max(2.0, others[0][1] / ours["monthly_cost"] * 1.25))
    high = ours["monthly_cost"] * last * 1.08
    frame = Frame(
        say("price.title"), say("price.about", name=say.said(ours["name"])),
        linear(0, last), linear(0, high), margin=(28.0, 290.0, 44.0, 70.0),
    )  # fmt: skip
    frame.grid_y(ticks(high), lambda value: f"{value:,.0f}")
    frame.grid_x(ticks(last), lambda value: f"{value:g}\u00d7")
    frame.name_axes(say("price.x"), say("a_month", currency=document["currency"]))
    shown = [(f"c{place}", name, amount) for place, (name, amount) in enumerate(others, start=1) if amount <= high]  # fmt: skip
    for kind, _, amount in shown:
        frame.line([(0, amount), (last, amount)], kind)
    frame.line([(0, 0.0), (last, ours["monthly_cost"] * last)], "c0")
    for kind, name, amount in shown:
        at = amount / ours["monthly_cost"]
        if at <= last:
            frame.dot((at, amount), f"{name}: {at:.4g}\u00d7", f"small {kind}")
    ends = [(name, amount, kind) for kind, name, amount in shown]
    frame.labels([(_label(say.said(ours["name"]), 0), ours["monthly_cost"] * last, "c0"), *ends])
    return frame.draw("fig-price")


def forecast(document: Document, say: Language) -> str:
    """Draw the load of each day, and what is expected of the days to come."""
    outlook, days = document.get("outlook"), document["profile"]["by_day"]
    if not outlook or len(days) < 2:  # noqa: PLR2004  (two make a line)
        return ""
    mean = document["generated_from"]["busy_gpus_mean"]
    low, high = (mean * factor for factor in outlook["load_factor_ci"])
    start, count = date.fromisoformat(days[0]["date"]), len(days)
    at = [(date.fromisoformat(day["date"]) - start).days for day in days]
    last, ahead = at[-1] + 1, outlook["days"]
    line = [(day + 0.5, one["busy_gpus"]) for day, one in zip(at, days, strict=True)]
    top = max([y for _, y in line] + [high]) * 1.08 or 1.0
    frame = Frame(
        say("forecast.title"), say("forecast.about", days=ahead, low=f"{low:.3g}", high=f"{high:.3g}"),
        linear(0, last + ahead), linear(0, top), size=(WIDE, 260.0), margin=(28.0, 24.0, 44.0, 56.0),
    )  # fmt: skip
    frame.grid_y(ticks(top), lambda value: f"{value:g}")
    every = max(1, -(-(last + ahead) // 8))
    frame.grid_x(list(range(0, last + ahead, every)), lambda day: f"{date.fromordinal(start.toordinal() + int(day)):%m-%d}")  # fmt: skip
    frame.name_axes(say("forecast.x"), say("forecast.y"))
    frame.box((last, low, last + ahead, high), "band", say("forecast.band", low=f"{low:.3g}", high=f"{high:.3g}"))  # fmt: skip
    frame.line([(last, mean * outlook["load_factor"]), (last + ahead, mean * outlook["load_factor"])], "second")  # fmt: skip
    frame.line(line, "first")
    if count <= 45:  # noqa: PLR2004  (more are too close to be pointed at)
        for (x, y), one in zip(line, days, strict=True):
            frame.dot((x, y), f"{one['date']}: {y:.3g}", "small first")
    frame.rule(last, say("forecast.now"))
    return frame.draw("fig-forecast")
