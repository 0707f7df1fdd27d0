"""The report: a page that needs nothing else, a Markdown file, a table for the terminal."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from lightmeter.errors import PlanError
from planner import report
from support import plans
from support.rows import every, row


HOUR = 3600.0
NASTY = "<script>alert('a|b')</script>"
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """Reads a page: its tags, addresses and text; complains of tags that do not pair up."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.unclosed: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag and what it fetches."""
        self.tags.append(tag)
        self.addresses += [
            value or ""
            for name, value in attrs
            if name.split(":")[-1] in {"src", "href", "srcset", "data", "action"}
        ]
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
        """Note the text."""
        self.words.append(data)


def usage(service: str = "a") -> list[Any]:
    """Two services, enough for advice."""
    return [*every(HOUR, 60, service=service), *every(HOUR, 60, first=HOUR / 2, service="z")]


def written(tmp_path: Path, document: dict[str, Any]) -> tuple[str, str]:
    """Write a report and return its page and its Markdown."""
    report.write(document, tmp_path)
    return (tmp_path / "report.html").read_text(), (tmp_path / "report.md").read_text()


def test_files(tmp_path: Path) -> None:
    """A report is a few files, in a folder that is made for it; plan.json is the document."""
    document = plans.document(usage())
    report.write(document, tmp_path / "new" / "folder")

    assert sorted(report.FILES) == sorted(
        path.name for path in (tmp_path / "new" / "folder").iterdir()
    )
    text = (tmp_path / "new" / "folder" / "plan.json").read_text()
    assert json.loads(json.dumps(document)) == json.loads(text)


def test_again(tmp_path: Path) -> None:
    """The same plan gives the same page, and a second report replaces the first."""
    first = written(tmp_path, plans.document(usage()))

    assert first == written(tmp_path, plans.document(usage()))
    assert first != written(tmp_path, plans.document(usage(), slo="p95_wait=99s"))


def test_self_contained(tmp_path: Path) -> None:
    """The page is whole, fetches nothing and runs nothing."""
    text, _ = written(tmp_path, plans.document(usage()))
    page = Page(text)

    assert [] == page.unclosed
    assert {"html", "svg", "table"} <= set(page.tags)
    assert not {"script", "link", "img", "iframe", "object", "image"} & set(page.tags)
    assert [] == [address for address in page.addresses if not address.startswith("#")]
    assert [] == re.findall(r"@import|url\((?!#|['\"]?#)", text)


def test_no_number_alone(tmp_path: Path) -> None:
    """No line of the advice ends between a number and its unit, or a currency and its amount."""
    text, _ = written(tmp_path, plans.document(usage()))
    (advice,) = re.findall(r'<p class="advice">(.*?)</p>', text)

    assert re.search(r"USD\u00a0\d", advice)
    assert [] == re.findall(r"\d (?:%|s\b|GPU)|USD \d", advice)


def test_says(tmp_path: Path) -> None:
    """Page and Markdown give the advice, every option's cost and wait, and the objective."""
    document = plans.document(usage())
    text, markdown = written(tmp_path, document)
    words = " ".join(Page(text).words).replace("\u00a0", " ")

    assert document["recommendation"]["option"] is not None
    for found in (words, markdown):
        assert document["recommendation"]["reason"] in found
        assert "95.0 % of requests start within 30.0 s" in found
        for option in document["options"]:
            assert f"{option['monthly_cost']:,.2f}" in found
        for flip in document["recommendation"]["flips_when"]:
            assert f"{flip['at']:.4g}" in found


def test_chart(tmp_path: Path) -> None:
    """The chart has a bar for each option, labelled in real text with its cost."""
    document = plans.document(usage())
    text, _ = written(tmp_path, document)
    chart = text[text.index("<svg") : text.index("</svg>")]

    for option in document["options"]:
        assert f"{option['monthly_cost']:,.2f} · {option['gpus']} GPU" in chart


def test_hostile_name_in_page(tmp_path: Path) -> None:
    """A service named like a script is shown by that name and not run."""
    text, _ = written(tmp_path, plans.document(usage(NASTY)))
    page = Page(text)

    assert "script" not in page.tags
    assert NASTY in page.words


def test_hostile_name_in_markdown(tmp_path: Path) -> None:
    """Nor does such a name become HTML or break a table in Markdown, where HTML is allowed."""
    _, markdown = written(tmp_path, plans.document(usage(NASTY)))

    assert "<script" not in markdown


@pytest.mark.parametrize("name", ["a|b", "|", "a\nb", "a\r\nb", "a\\|b", NASTY])
def test_markdown_tables(tmp_path: Path, name: str) -> None:
    """Every row of a Markdown table has as many cells as its head, whatever a service is called."""
    _, markdown = written(tmp_path, plans.document(usage(name)))

    for block in markdown.split("\n\n"):
        lines = [line for line in block.splitlines() if not line.startswith("#")]
        if lines and lines[0].startswith("|"):
            # GitHub's rule: a bar after an odd number of backslashes is text
            bars = [len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in lines]
            assert {bars[0]} == set(bars)
            assert all(line.startswith(("| ", "|-")) for line in lines)


def test_long_list(tmp_path: Path) -> None:
    """Of very many services the largest are listed, and the rest counted."""
    many = [row(HOUR * k, 10.0 + k, service=f"s{k:02}") for k in range(40)]
    text, _ = written(tmp_path, plans.document(many))

    assert "and 10 more in services.csv" in text
    assert "s39" in text
    assert "s09</td>" not in text


def test_notes(tmp_path: Path) -> None:
    """What was dropped when reading the history stands in the report."""
    document = plans.document(usage())
    document["generated_from"]["notes"] = ["x.jsonl: the last row was cut short"]

    assert "the last row was cut short" in written(tmp_path, document)[0]


def test_terminal() -> None:
    """The terminal gets a line for each option, and the advice at the end of them."""
    document = plans.document(usage())
    lines = report.text(document).splitlines()

    for option in document["options"]:
        line = next(line for line in lines if line.startswith(option["name"]))
        assert f" {option['monthly_cost']:,.2f} " in line
        assert ("yes" if option["meets_slo"] else "no") == line.split()[-1]
    assert document["recommendation"]["reason"] in lines


@pytest.mark.parametrize("attainment", [0.95, 0.99])
def test_objective_in_words(attainment: float) -> None:
    """The objective is stated as it was judged: a share of 99 % is not called a p95."""
    document = plans.document(usage(), slo=f"p95_wait=30s,attainment={attainment}")
    found = report.text(document)

    assert (attainment == 0.99) == ("99.0 % of requests" in found)


def test_no_folder(tmp_path: Path) -> None:
    """A report folder that cannot be made is refused by name."""
    (tmp_path / "file").write_text("")

    for out in (tmp_path / "file", tmp_path / "file" / "inner"):
        with pytest.raises(PlanError, match=r"report folder .*file.*; name another with --out"):
            report.write(plans.document(usage()), out)
