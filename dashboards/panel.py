"""What a dashboard is: data, from which Grafana's JSON and a page of docs are made. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from lightmeter import catalog


class Kind(StrEnum):
    """How a panel draws, by Grafana's name for it."""

    STAT = "stat"
    LINES = "timeseries"
    HEAT = "heatmap"
    BARS = "bargauge"
    TABLE = "table"
    STATES = "state-timeline"


@dataclass(frozen=True)
class Target:
    """One query of a panel; ``exemplar`` asks for the traces behind it as well."""

    expr: str
    legend: str = ""
    exemplar: bool = False


@dataclass(frozen=True)
class Panel:
    """A panel, with all that the person who looks at it needs."""

    place: catalog.Panel
    kind: Kind
    unit: str
    """Of the values, by Grafana's id; of a heat-map, of its buckets."""
    targets: tuple[Target, ...]
    shows: str
    """What it shows, in a sentence or two."""
    normal: str
    act: str
    """What to do when it is not normal."""
    width: int = 8
    """In columns, of which there are 24."""
    height: int = 8
    """In Grafana's rows of 30 pixels."""
    stacked: bool = False
    steps: tuple[tuple[float, str], ...] = ()
    """Colours from a value on, where colour is a judgement; none draws without one."""
    least: float | None = 0
    most: float | None = None
    decimals: int | None = None
    empty: str = "No traffic"
    """Said where there is no value."""
    words: tuple[tuple[str, str, str], ...] = ()
    """Values that are shown as a word in a colour."""


@dataclass(frozen=True)
class Section:
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Choice:
    """A variable of one board: a value that the reader types, or picks from ``values``."""

    name: str
    label: str
    default: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dashboard:
    """A dashboard."""

    board: catalog.Board
    title: str
    about: str
    sections: tuple[Section, ...]
    choices: tuple[Choice, ...] = ()

    @property
    def panels(self) -> Iterator[Panel]:
        """All panels, in order."""
        return (panel for section in self.sections for panel in section.panels)
