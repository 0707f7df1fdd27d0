"""The pictures of a study: cost and violations, replicas over time, waits, and the start swept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lightmeter.scaling.policies import ORACLE
from lightmeter.svg import Frame, linear, logarithmic, rooted, ticks


DAY_HOURS = 24.0
LINE, ROWS, MARKS = 11, 6, 9
"""Units between two lines of words; most lines and marks of an axis."""
SHOWN = 4
"""Policies whose replicas are drawn, beside those that are named first."""
ROOTED = 0.0, 0.5, 2.0, 5.0, 10.0, 20.0, 40.0, 70.0, 100.0
Document = dict[str, Any]


def kinds(document: Document) -> dict[str, str]:
    """Name the colour of each policy: the first, the cheapest other one, the reference, the rest."""
    rows = document["policies"]
    first = rows[0]["policy"]
    found = {row["policy"]: "rest" for row in rows}
    others = [row for row in rows if row["policy"] not in (first, ORACLE)]
    if others:
        found[min(others, key=lambda row: float(row["cost_gpu_hours"]))["policy"]] = "second"
    return found | {ORACLE: "oracle", first: "first"}


def _room(values: Sequence[float], share: float = 1.08) -> float:
    return max([*values, 0.0]) * share or 1.0


def trade(document: Document) -> str:
    """Draw GPU-hours against violations, a point for each policy."""
    rows, colour = document["policies"], kinds(document)
    across = [row["gpu_hours"] for row in rows]
    up = [100 * row["violation_ratio"] for row in rows]
    high_x, high_y = _room(across), _room(up)
    frame = Frame(
        "GPU-hours and violations",
        f"{len(rows)} policies; further left is cheaper, further down is better for users",
        linear(0, high_x),
        rooted(high_y),
    )
    frame.grid_y([tick for tick in ROOTED if tick <= high_y], lambda value: f"{value:g} %")
    frame.grid_x(ticks(high_x, 6), lambda value: f"{value:,.0f}")
    frame.name_axes("GPU-hours", "requests that waited too long")
    for row, x, y in sorted(zip(rows, across, up, strict=True), key=lambda one: one[0]["policy"] == rows[0]["policy"]):  # fmt: skip
        kind = colour[row["policy"]]
        frame.dot((x, y), f"{row['policy']}: {x:,.1f} GPU-hours, {y:.2f} %", kind)
    _beside(frame, [(row["policy"], x, y, colour[row["policy"]]) for row, x, y in zip(rows, across, up, strict=True)])  # fmt: skip
    return frame.draw("trade")


def _beside(frame: Frame, points: list[tuple[str, float, float, str]]) -> None:
    """Write each name beside its point, where no other name or point is in the way."""
    taken = [
        (at - 6, at + 6, height) for at, height in (frame.place(x, y) for _, x, y, _ in points)
    ]
    for name, x, y, kind in sorted(points, key=lambda one: (one[3] == "rest", one[1])):
        at, height = frame.place(x, y)
        width = 8.2 * len(name)
        left, level = next(
            (place for place in _places(at, height, width) if _free(frame, taken, place, width)),
            (at + 9, height + 4),
        )
        taken.append((left, left + width, level - 4))
        frame.text((left, level), name, kind=f"name {kind}")


def _places(at: float, height: float, width: float) -> list[tuple[float, float]]:
    """Where a name may stand: right of its point, left, then further up and down."""
    moves = (4.0, -9.0, 17.0, -22.0, 30.0, -35.0)
    return [(left, height + move) for move in moves for left in (at + 9, at - 9 - width)]


def _free(
    frame: Frame, taken: list[tuple[float, float, float]], place: tuple[float, float], width: float
) -> bool:
    left, level = place
    inside = level < frame.size[1] - frame.margin[2] - 2 and left > frame.margin[3]
    return inside and all(abs(level - 4 - height) > LINE or left > end or left + width < begin for begin, end, height in taken)  # fmt: skip


def replicas(document: Document) -> list[tuple[str, str]]:
    """Draw each policy's replicas over time, the work that there was beneath; (policy, element)."""
    curves, colour = document["curves"], kinds(document)
    order = {"first": 0, "second": 1, "oracle": 2, "rest": 3}
    names = sorted(curves["replicas"], key=lambda name: order[colour[name]])[:SHOWN]
    high = _room([value for name in names for value in curves["replicas"][name]] + curves["busy"])
    return [(name, _course(document, name, high, colour[name])) for name in names]


def _course(document: Document, name: str, high: float, kind: str) -> str:
    curves = document["curves"]
    hours = curves["hours"]
    first, last = hours[0], hours[-1]
    frame = Frame(
        f"Replicas of {name} over time",
        "the line is what the policy held, the area is the work that there was, in replicas kept busy",
        linear(first, last),
        linear(0, high),
        size=(760.0, 130.0),
        margin=(10.0, 150.0, 24.0, 56.0),
    )
    frame.grid_y(ticks(high, 2), lambda value: f"{value:g}")
    days = (last - first) / DAY_HOURS
    every = next((n for n in (1, 2, 5, 7, 14, 28) if days / n <= MARKS), 56)
    marks = [first + DAY_HOURS * k for k in range(0, int(days) + 1, every)]
    frame.grid_x(marks, lambda value: f"day {round((value - first) / DAY_HOURS) + 1}")
    frame.area(list(zip(hours, curves["busy"], strict=False)), "busy")
    steps = _steps(hours, curves["replicas"][name])
    frame.line(steps, kind)
    mean = sum(curves["replicas"][name]) / max(1, len(curves["replicas"][name]))
    frame.text((frame.size[0] - 142, 28), name, kind=f"name {kind}")
    frame.text((frame.size[0] - 142, 44), f"{mean:.1f} on average")
    key = "course-" + "".join(letter if letter.isalnum() else "-" for letter in name)
    return frame.draw(key)


def _steps(edges: Sequence[float], values: Sequence[float]) -> list[tuple[float, float]]:
    return [point for a, b, value in zip(edges, edges[1:], values, strict=False) for point in ((a, value), (b, value))]  # fmt: skip


def waits(document: Document) -> str:
    """Draw the share of requests that waited no longer, over the wait."""
    curves, colour = document["curves"], kinds(document)
    limits = curves["wait_seconds"]
    shares = {name: one for name, one in curves["within"].items() if name != ORACLE}
    low = min([min(one) for one in shares.values()] + [1.0])
    floor = 100 * max(0.0, low - 0.02)
    frame = Frame(
        "How long requests waited",
        "the share that waited no longer than the time beneath, for each policy",
        logarithmic(1.0, max(2.0, limits[-1])),
        linear(floor, 100),
    )
    step = next(one for one in (1, 2, 5, 10, 20, 25) if (100 - floor) / one <= ROWS)
    frame.grid_y([100 - step * k for k in range(7) if 100 - step * k >= floor], lambda value: f"{value:g} %")  # fmt: skip
    frame.grid_x([1.0, *[s for s in (10.0, 60.0, 600.0, 3600.0, 86_400.0) if s <= limits[-1]]], _wait)  # fmt: skip
    frame.name_axes("wait", "waited no longer")
    if document["settings"]["wait"] >= 1:
        frame.rule(document["settings"]["wait"], f"allowed: {document['settings']['wait']:g} s")
    for name in sorted(shares, key=lambda one: colour[one] != "rest"):
        points = [(max(1.0, x), 100 * y) for x, y in zip(limits, shares[name], strict=True)]
        frame.line(points, colour[name])
    at = next((k for k, x in enumerate(limits) if x > document["settings"]["wait"]), len(limits)) - 1  # fmt: skip
    frame.labels([(f"{name} {100 * one[at]:.1f} %", 100 * one[at], colour[name]) for name, one in shares.items()])  # fmt: skip
    return frame.draw("waits")


def _wait(seconds: float) -> str:
    unit, name = next(one for one in ((3600, "h"), (60, "min"), (1, "s")) if seconds >= one[0])
    return f"{seconds / unit:g} {name}"


def sweep(document: Document) -> list[str]:
    """Draw cost and violations over the time of a start; nothing where none was swept."""
    points = sorted(document["sweep"], key=lambda one: float(one["cold_start_seconds"]))
    if len(points) <= 1:
        return []
    cost = _swept(points, document, "cost", lambda row: float(row["cost_gpu_hours"]))
    late = _swept(points, document, "late", lambda row: 100 * float(row["violation_ratio"]))
    return [cost, late]


_SWEPT: Mapping[str, tuple[str, str, str]] = {
    "cost": ("Cost over the time of a start", "GPU-hours, violations priced", ""),
    "late": ("Violations over the time of a start", "requests that waited too long", " %"),
}


def _swept(points: list[Document], document: Document, what: str, value: Any) -> str:
    colour = kinds(document)
    title, axis, unit = _SWEPT[what]
    starts = [one["cold_start_seconds"] for one in points]
    lines = {
        name: [value(row) for one in points for row in one["policies"] if row["policy"] == name]
        for name in colour
        if any(row["policy"] == name for row in points[0]["policies"])
    }
    high = _room([y for one in lines.values() for y in one])
    frame = Frame(title, "a line for each policy, its settings the same at every start", linear(0, starts[-1]), linear(0, high), size=(760.0, 260.0))  # fmt: skip
    frame.grid_y(ticks(high), lambda y: f"{y:,g}{unit}")
    frame.grid_x(starts, lambda x: f"{x:g} s")
    frame.name_axes("time of a start", axis)
    for name in sorted(lines, key=lambda one: colour[one] != "rest"):
        frame.line(list(zip(starts, lines[name], strict=True)), colour[name])
        for x, y in zip(starts, lines[name], strict=True):
            frame.dot((x, y), f"{name}, {x:g} s: {y:,.1f}{unit}", f"small {colour[name]}")
    frame.labels([(name, one[-1], colour[name]) for name, one in lines.items()])
    return frame.draw(f"sweep-{what}")
