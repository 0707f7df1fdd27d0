"""The pictures of what lies on a GPU, and of how well the present was foretold."""

from __future__ import annotations

from typing import Any

from lightmeter.svg import Frame, linear, logarithmic, ticks
from planner.report.figures import WIDE, fitted
from planner.report.language import Language


Document = dict[str, Any]
GIB = 1024**3
MOST_CARDS = 16
"""Groups of GPUs that are drawn; plan.json has them all."""
MOST_RESIDENT = 12


def chosen(document: Document) -> Document | None:
    """Return the advised option; None without advice."""
    index = document["recommendation"]["option"]
    found: Document | None = None if index is None else document["options"][index]
    return found


def packing(document: Document, say: Language) -> str:
    """Draw how the advised option fills the memory of its GPUs; nothing where peaks are unknown."""
    option, peaks = chosen(document), _peaks(document)
    if option is None or not peaks:
        return ""
    groups = [(place, [(name, peaks[name]) for name in place["services"] if name in peaks]) for place in option["placement"]]  # fmt: skip
    known = [(place, held) for place, held in groups if held][:MOST_CARDS]
    if not known:
        return ""
    whole = [_laid(held, option["sharing"]) for _, held in known]
    high = max(sum(size for _, size in held) for held in whole) * 1.02
    step = 34.0
    frame = Frame(
        say("packing.title"), say("packing.about", count=len(known)), linear(0, high),
        linear(len(known), 0), size=(WIDE, 40 + step * len(known)), margin=(2.0, 24.0, 38.0, 150.0),
    )  # fmt: skip
    for row, ((place, _), held) in enumerate(zip(known, whole, strict=True)):
        _card(frame, row, (f"{say.gpus(place['gpus'])} {place['slice']}".strip(), held), say)
    for gib in ticks(high / GIB, 6):
        frame.text((frame.place(gib * GIB, 0)[0], frame.size[1] - 22), f"{gib:g}", anchor="middle")
    frame.text((frame.size[0] - 24, frame.size[1] - 5), say("packing.x"), anchor="end", kind="axis")
    return frame.draw("fig-packing")


def _peaks(document: Document) -> dict[str, float]:
    return {one["name"]: one["vram_peak_bytes"] for one in document["services"] if one["vram_peak_bytes"]}  # fmt: skip


def _laid(held: list[tuple[str, float]], sharing: str) -> list[tuple[str, float]]:
    """Models side by side where they are resident together; the largest alone where they take turns."""
    if sharing in {"swap", "sleep"}:
        return [max(held, key=lambda one: one[1])]
    shown, rest = held[:MOST_RESIDENT], held[MOST_RESIDENT:]
    return shown if not rest else [*shown, (f"+{len(rest)}", sum(size for _, size in rest))]


def _card(frame: Frame, row: int, card: tuple[str, list[tuple[str, float]]], say: Language) -> None:
    name, held = card
    frame.text((142, frame.place(0, row + 0.66)[1]), fitted(name, 138), anchor="end")
    left = 0.0
    for place, (service, size) in enumerate(held):
        frame.box((left, row + 0.14, left + size, row + 0.86), f"held c{place % 5}", f"{service}: {say.size(size)}")  # fmt: skip
        at, level = frame.place(left, row + 0.64)
        room = frame.place(left + size, 0)[0] - at - 10
        words = fitted(f"{service} {say.size(size)}", room)
        if len(words) > 3:  # noqa: PLR2004  (less says nothing)
            frame.text((at + 6, level), words, kind="on")
        left += size


def calibration(document: Document, say: Language) -> str:
    """Draw each quantile of the waits as predicted and as observed; nothing where none was observed."""
    found = (document.get("calibration") or {}).get("quantiles") or []
    if not found:
        return ""
    top = max(max(one["predicted_seconds"], one["observed_seconds"]) for one in found)
    low, high = 0.1, max(1.0, top * 1.3)
    frame = Frame(
        say("calibration.title"), say("calibration.about"), logarithmic(low, high),
        linear(len(found), 0), size=(WIDE, 52 + 40.0 * len(found)), margin=(8.0, 110.0, 44.0, 70.0),
    )  # fmt: skip
    marks = [at for at in (0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 36_000.0) if at <= high]
    frame.grid_x(marks, say.duration)
    frame.name_axes(say("calibration.x"), "")
    for row, one in enumerate(found):
        frame.text((62, frame.place(0, row + 0.6)[1]), f"{one['q']:.0%}".replace("%", " %"), anchor="end")  # fmt: skip
        ends = [(max(low, one[f"{what}_seconds"]), row + 0.5) for what in ("predicted", "observed")]
        frame.line(ends, "rest")
        for what, end, kind in zip(
            ("predicted", "observed"), ends, ("c0 large", "c1 small"), strict=True
        ):
            frame.dot(end, f"{say(what)}: {say.duration(one[f'{what}_seconds'])}", kind)
    for row, (what, kind) in enumerate((("predicted", "c0"), ("observed", "c1"))):
        frame.text((frame.size[0] - 100, 24 + 18 * row), f"● {say(what)}", kind=f"name {kind}")
    return frame.draw("fig-calibration")
