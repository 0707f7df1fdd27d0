"""Reads what the planner wrote: pages, and workbooks."""

from __future__ import annotations

import zipfile
from html.parser import HTMLParser
from io import BytesIO
from xml.etree import ElementTree as ET


VOID = {"meta", "link", "img", "br", "hr", "input"}
_MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


class Outline(HTMLParser):
    """Reads a page's ids, links within it, heads and captions; complains of tags that do not pair up."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.language = ""
        self.attributes: set[str] = set()
        self.unclosed: list[str] = []
        self.feed(page)
        self.close()

    @property
    def text(self) -> str:
        """All that is read, without styles; hard spaces are spaces."""
        return " ".join(" ".join(self.words).replace("\u00a0", " ").split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag, its id and where it leads."""
        self.tags.append(tag)
        known = dict(attrs)
        self.attributes |= known.keys()
        self.ids += [known["id"] or ""] if "id" in known else []
        self.links += [known["href"] or ""] if "href" in known else []
        self.links += [f"#{name}" for name in (known.get("aria-labelledby") or "").split()]
        self.language = known.get("lang") or self.language if tag == "html" else self.language
        if tag not in VOID:
            self.unclosed.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag that closes itself."""
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        """Check that the innermost tag is the one that ends."""
        if tag not in VOID:
            assert tag == self.unclosed.pop()

    def handle_data(self, data: str) -> None:
        """Note the text, styles apart."""
        if "style" not in self.unclosed:
            self.words.append(data)


Cell = str | float | bool | None


def sheets(data: bytes) -> dict[str, list[list[Cell]]]:
    """Read the sheets of a workbook by name: rows of texts, numbers, truths and nothing."""
    with zipfile.ZipFile(BytesIO(data)) as book:
        strings = ["".join(node.text or "" for node in one.iter(f"{_MAIN}t")) for one in ET.fromstring(book.read("xl/sharedStrings.xml"))]  # fmt: skip # noqa: S314  (a file that we wrote)
        names = [one.attrib["name"] for one in ET.fromstring(book.read("xl/workbook.xml")).iter(f"{_MAIN}sheet")]  # fmt: skip # noqa: S314  (as above)
        trees = [ET.fromstring(book.read(f"xl/worksheets/sheet{place}.xml")) for place in range(1, len(names) + 1)]  # fmt: skip # noqa: S314  (as above)
    return {
        name: [[_cell(cell, strings) for cell in row] for row in tree.iter(f"{_MAIN}row")]
        for name, tree in zip(names, trees, strict=True)
    }


def _cell(cell: ET.Element, strings: list[str]) -> Cell:
    value = cell.findtext(f"{_MAIN}v")
    if value is None:
        return None
    kind = cell.attrib.get("t")
    return strings[int(value)] if kind == "s" else value == "1" if kind == "b" else float(value)
