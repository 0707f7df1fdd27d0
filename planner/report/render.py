"""The report's parts as a page that needs nothing else, and as Markdown."""

from __future__ import annotations

import html
import re
from typing import Any

import jinja2
import markupsafe

from planner.report import payer, sections, trust
from planner.report.language import Language
from planner.report.parts import Report


Document = dict[str, Any]
HTML, MARKDOWN = "report.html", "report.md"
TEXTS = ("origins.link", "chart", "contents", "chosen", "field_of")


def compose(document: Document, language: str = "en") -> Report:
    """Put the report together."""
    say = Language(language)
    month = document["month"]
    first = (payer.services(document, say), payer.flips(document, say))
    rest = (
        sections.options(document, say),
        sections.spent(document, say),
        *sections.pictures(document, say),
        trust.forecast(document, say),
        trust.calibration(document, say),
        trust.quality(document, say),
        trust.previous(document, say),
        sections.services(document, say),
        sections.rightsizing(document, say),
        sections.telemetry(document, say),
        sections.assumptions(document, say),
    )
    advice = document["recommendation"]
    return Report(
        language={"en": "en", "zh": "zh-CN"}[language],
        title=say("title_month", month=month) if month else say("title"),
        about=payer.about(document, say),
        advice=say.said(advice["reason"]),
        advised=advice["option"] is not None,
        facts=payer.facts(document, say),
        first=first,
        rest=(*rest, trust.origins(document, (*first, *rest), say)),
        texts={key.replace(".", "_"): say(key) for key in TEXTS},
    )


def page(report: Report) -> str:
    """Write it as HTML."""
    return _render(HTML, report)


def markdown(report: Report) -> str:
    """Write it as Markdown; pictures stay on the page."""
    return re.sub(r"\n{3,}", "\n\n", _render(MARKDOWN, report))


def _render(name: str, report: Report) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("planner", "templates"),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(bound=_bound, cell=_cell, tight=_tight, svg=markupsafe.Markup)
    return environment.get_template(f"{name}.j2").render(report=report, t=report.texts)


_UNITS = re.compile(r"(?<=\d) (?=%|(?:s|ms|h|min|GPUs?)\b)|(?<=\b[A-Z]{3}) (?=\d)")


def _bound(words: str) -> str:
    """Keep each number of a text with its unit or currency, wherever the line ends."""
    return _UNITS.sub("\u00a0", words)


def _tight(cell: str) -> str:
    """Keep a number with its unit; an interval may break at its dash."""
    return " \u2013 ".join(part.replace(" ", "\u00a0") for part in cell.replace(" (", " \u2013 (").split(" \u2013 ")).replace(" \u2013 (", " (")  # fmt: skip


_MARKDOWN = str.maketrans({"|": "&#124;", "\\": "&#92;", "`": "&#96;", "*": "&#42;", "_": "&#95;"})


def _cell(words: object) -> str:
    """Keep a name from breaking a Markdown table, or from being markup."""
    return " ".join(html.escape(str(words), quote=False).split()).translate(_MARKDOWN)
