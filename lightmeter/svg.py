"""A few marks of SVG: a frame with axes, lines, points and words, all as text a browser draws.

Colours are classes, so that the page decides on them for light, dark and paper.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape


Scale = Callable[[float], float]


def linear(low: float, high: float) -> Scale:
    """Map low..high to 0..1."""
    span = (high - low) or 1.0
    return lambda value: (value - low) / span


def rooted(high: float) -> Scale:
    """Map 0..``high`` to 0..1 by their square roots, so that small values have room."""
    return lambda value: math.sqrt(max(0.0, value) / (high or 1.0))


def logarithmic(low: float, high: float) -> Scale:
    """Map low..high to 0..1 by their logarithms; what is below ``low`` is at 0."""
    span = math.log(high / low) or 1.0
    return lambda value: math.log(max(value, low) / low) / span


def decades(low: float, high: float) -> list[float]:
    """Round numbers (1, 2, 5 and so on) from ``low``, which is more than 0, to ``high``."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    found = [step * 10.0**power for power in range(first, last + 1) for step in (1, 2, 5)]
    return [value for value in found if low <= value <= high]


def ticks(high: float, count: int = 4) -> list[float]:
    """Round numbers from 0 to ``high`` or a little below."""
    if high <= 0:
        return [0.0]
    raw = high / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * times for times in (1, 2, 2.5, 5, 10) if power * times >= raw)
    return [step * k for k in range(math.floor(high / step + 1e-9) + 1)]


@dataclass
class Frame:
    """A chart: its size in user units, scales to 0..1, and what is drawn on it."""

    title: str
    about: str
    x: Scale
    y: Scale
    size: tuple[float, float] = (760.0, 300.0)
    margin: tuple[float, float, float, float] = (24.0, 150.0, 40.0, 56.0)
    """Top, right, bottom, left."""
    parts: list[str] = field(default_factory=list)

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Return where a point is drawn."""
        top, right, bottom, left = self.margin
        width, height = self.size
        return (
            left + self.x(x) * (width - left - right),
            height - bottom - self.y(y) * (height - top - bottom),
        )

    def grid_y(self, values: Sequence[float], words: Callable[[float], str]) -> None:
        """Draw quiet lines across, with their values on the left."""
        for value in values:
            _, y = self.place(0, value)
            left, right = self.margin[3], self.size[0] - self.margin[1]
            self.parts.append(f'<line class="grid" x1="{left:.1f}" x2="{right:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>')  # fmt: skip
            self.text((left - 8, y + 4), words(value), anchor="end")

    def grid_x(self, values: Sequence[float], words: Callable[[float], str]) -> None:
        """Write values beneath."""
        for value in values:
            x, _ = self.place(value, 0)
            self.text((x, self.size[1] - self.margin[2] + 18), words(value), anchor="middle")

    def name_axes(self, x: str, y: str) -> None:
        """Write what the axes are."""
        left, bottom = self.margin[3], self.size[1]
        middle = (left + self.size[0] - self.margin[1]) / 2
        self.text((middle, bottom - 4), x, anchor="middle", kind="axis")
        self.text((left, self.margin[0] - 10), y, kind="axis")

    def line(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        """Draw through points."""
        self.parts.append(f'<path class="line {kind}" d="M{self._path(points)}"/>')

    def area(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        """Fill what is beneath points."""
        ends = (points[-1][0], 0.0), (points[0][0], 0.0)
        self.parts.append(f'<path class="area {kind}" d="M{self._path([*points, *ends])}Z"/>')

    def dot(self, point: tuple[float, float], words: str, kind: str) -> None:
        """Draw a point that says what it is when it is pointed at."""
        x, y = self.place(*point)
        self.parts.append(f'<circle class="dot {kind}" cx="{x:.1f}" cy="{y:.1f}" r="5"><title>{escape(words)}</title></circle>')  # fmt: skip

    def box(self, corners: tuple[float, float, float, float], kind: str, words: str = "") -> None:
        """Fill a rectangle between two points, (x, y, x, y); it says ``words`` when it is pointed at."""
        (x, y), (right, top) = self.place(*corners[:2]), self.place(*corners[2:])
        said = f"<title>{escape(words)}</title>" if words else ""
        self.parts.append(f'<rect class="{kind}" x="{min(x, right):.1f}" y="{min(y, top):.1f}" width="{abs(right - x):.1f}" height="{abs(y - top):.1f}">{said}</rect>')  # fmt: skip

    def level(self, y: float, words: str) -> None:
        """Draw a line across at a value, and say what it is."""
        _, at = self.place(0, y)
        left, right = self.margin[3], self.size[0] - self.margin[1]
        self.parts.append(f'<line class="rule" x1="{left:.1f}" x2="{right:.1f}" y1="{at:.1f}" y2="{at:.1f}"/>')  # fmt: skip
        self.text((left + 6, at - 5), words)

    def rule(self, x: float, words: str, *, high: bool = False) -> None:
        """Draw a line upwards at a value, and say what it is, at its foot or at its ``high`` end."""
        at, _ = self.place(x, 0)
        top, bottom = self.margin[0], self.size[1] - self.margin[2]
        self.parts.append(f'<line class="rule" x1="{at:.1f}" x2="{at:.1f}" y1="{top:.1f}" y2="{bottom:.1f}"/>')  # fmt: skip
        self.text((at + 6, top + 10 if high else bottom - 8), words)

    def text(self, at: tuple[float, float], words: str, *, anchor: str = "start", kind: str = "") -> None:  # fmt: skip
        """Write at a place in user units."""
        name = f' class="{kind}"' if kind else ""
        self.parts.append(f'<text{name} x="{at[0]:.1f}" y="{at[1]:.1f}" text-anchor="{anchor}">{escape(words)}</text>')  # fmt: skip

    def labels(self, ends: Sequence[tuple[str, float, str]]) -> None:
        """Write names at the right end, each at its height or as near as there is room; (name, y, kind)."""
        x = self.size[0] - self.margin[1] + 8
        wanted = sorted((self.place(0, y)[1], name, kind) for name, y, kind in ends)
        for y, (_, name, kind) in zip(spread([one[0] for one in wanted], 14.0, self.size[1] - 30), wanted, strict=True):  # fmt: skip
            self.text((x, y + 4), name, kind=f"name {kind}")

    def _path(self, points: Sequence[tuple[float, float]]) -> str:
        return "L".join("{:.1f},{:.1f}".format(*self.place(*point)) for point in points)

    def draw(self, key: str) -> str:
        """Return the element; ``key`` makes its ids its own on the page."""
        width, height = self.size
        head = (
            f'<svg role="img" aria-labelledby="{key}-t {key}-d" viewBox="0 0 {width:g} {height:g}">'
        )
        said = f'<title id="{key}-t">{escape(self.title)}</title><desc id="{key}-d">{escape(self.about)}</desc>'
        return head + said + "".join(self.parts) + "</svg>"


def spread(wanted: Sequence[float], apart: float, lowest: float) -> list[float]:
    """Move ascending heights apart, as little as it takes, and none beneath ``lowest``."""
    found: list[float] = []
    for y in wanted:
        found.append(max(y, found[-1] + apart) if found else y)
    limit = lowest
    for place in range(len(found) - 1, -1, -1):
        found[place] = min(found[place], limit)
        limit = found[place] - apart
    return found
