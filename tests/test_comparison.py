"""What we say of ourselves, in the comparison and elsewhere, leads to a test that there is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGE = ROOT / "docs" / "comparison.md"
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
OURS = "lightmeter"
LINK = re.compile(r'\]\((?P<file>[^)\s]+)(?: "(?P<test>\w+)")?\)')


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def tables() -> Iterator[dict[str, str]]:
    """Yield our column of each table that has one, by row."""
    for block in re.findall(r"(?:^\|.*\n)+", PAGE.read_text(), flags=re.MULTILINE):
        head, _, *rows = map(cells, block.splitlines())
        if OURS in head:
            yield {row[0]: row[head.index(OURS)] for row in rows}


@cache
def defined(file: Path) -> set[str]:
    """Name the tests of a file."""
    if not file.exists():
        return set()
    tree = ast.parse(file.read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


CLAIMS = sorted({claim for table in tables() for claim in table.items()})


def test_found() -> None:
    """The page has its tables, whole."""
    servers = list(tables())[:3]

    assert all(len(table) >= 26 for table in servers)
    assert servers[0] == servers[1] == servers[2]


@pytest.mark.parametrize(("row", "claim"), CLAIMS, ids=[row for row, _ in CLAIMS])
def test_shown(row: str, claim: str) -> None:
    """What we say of ourselves has at least one link, and each leads to a test of that name."""
    links = [(link["file"], link["test"]) for link in LINK.finditer(claim)]

    assert links, row
    assert [] == [
        (file, test)
        for file, test in links
        if test is None or test not in defined((PAGE.parent / file).resolve())
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links(page: Path) -> None:
    """Every link of a page into the tests names one that there is."""
    links = [link for link in LINK.finditer(page.read_text()) if "tests/" in link["file"] and link["test"]]  # fmt: skip

    assert [] == [
        link[0]
        for link in links
        if link["test"] not in defined((page.parent / link["file"]).resolve())
    ]


def test_readme() -> None:
    """Each part of the README leads to a test, a figure or the page that tells the rest."""
    _, *parts = re.split(r"^## ", README.read_text(), flags=re.MULTILINE)

    assert 8 == len(parts)
    assert [] == [part.split("\n")[0] for part in parts if "](tests/" not in part and "](docs/" not in part]  # fmt: skip
