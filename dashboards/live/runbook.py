"""The runbook as a page: Markdown in, HTML out, with an anchor for each heading. Pure."""

from __future__ import annotations

import html
import itertools
from string import Template

from markdown_it import MarkdownIt
from markdown_it.token import Token


NONE = "# Runbook\n\nThere is none here: `lightmeter dashboards serve` and `lightmeter up` bring the one of lightmeter's own alerts."  # fmt: skip


def page(markdown: str, shell: str) -> str:
    """Write the runbook into a page; ``shell`` has the marks ``$title``, ``$contents`` and ``$text``.

    Raw HTML in the Markdown is shown as it stands, never obeyed.
    """
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = reader.parse(_without_notes(markdown or NONE))
    contents = list(_anchored(tokens))
    links = "\n".join(f'<li><a href="#{html.escape(anchor)}">{html.escape(name)}</a></li>' for anchor, name in contents)  # fmt: skip
    return Template(shell).substitute(
        title="Runbook", contents=links, text=reader.renderer.render(tokens, reader.options, {})
    )


def _without_notes(markdown: str) -> str:
    return "\n".join(line for line in markdown.splitlines() if not line.startswith("<!--"))


def _anchored(tokens: list[Token]) -> list[tuple[str, str]]:
    """Give each heading of an alert the id that alerts link to; list them with their names."""
    found: list[tuple[str, str]] = []
    for token, inside in itertools.pairwise(tokens):
        if token.type == "heading_open" and token.tag == "h3":
            anchor = inside.content.strip().lower()
            token.attrSet("id", anchor)
            token.attrSet("tabindex", "-1")
            found.append((anchor, inside.content.strip()))
    return found
