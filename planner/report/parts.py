"""What a report is made of, whatever it is written in: sections of words, tables and pictures."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Head:
    """A column: its name, and the field of plan.json that it shows; ``words`` is text, on the left."""

    text: str
    field: str = ""
    words: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of texts under heads; ``chosen`` is the row that is advised, ``more`` how many are not shown."""

    caption: str
    heads: tuple[Head, ...]
    rows: tuple[tuple[str, ...], ...]
    chosen: int | None = None
    more: str = ""


@dataclass(frozen=True)
class Fact:
    """A figure that the payer looks for first, what it is, what to know of it, and its field."""

    name: str
    value: str
    about: str = ""
    field: str = ""


@dataclass(frozen=True)
class Section:
    """A part of the report under a heading.

    ``words`` are paragraphs and ``items`` a list below them; ``figure`` is an SVG element, ``missing``
    why there is none; ``fields`` are those of plan.json that it rests on, ``how`` how they came about.
    """

    key: str
    title: str
    words: tuple[str, ...] = ()
    items: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    figure: str = ""
    missing: str = ""
    note: str = ""
    fields: tuple[str, ...] = ()
    how: str = ""

    @property
    def origins(self) -> tuple[str, ...]:
        """Fields of plan.json that its numbers come from, each once."""
        heads = (head.field for table in self.tables for head in table.heads if head.field)
        return tuple(dict.fromkeys((*self.fields, *heads)))


@dataclass(frozen=True)
class Report:
    """All of it; ``facts`` and ``advice`` are page one's, before its ``first`` sections."""

    language: str
    title: str
    about: str
    advice: str
    advised: bool
    facts: tuple[Fact, ...]
    first: tuple[Section, ...]
    rest: tuple[Section, ...]
    texts: dict[str, str] = field(default_factory=dict)

    @property
    def sections(self) -> tuple[Section, ...]:
        """Those of page one, then the others."""
        return (*self.first, *self.rest)
