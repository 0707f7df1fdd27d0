"""Names on every page are names that there are: metrics, settings, alerts, commands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest

from alerts import packs
from alerts.objectives import Money, Slo
from lightmeter import cli
from lightmeter.catalog import CATALOG
from lightmeter.configuration import known_keys


ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md")])
pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
PROMPT = "$ "
SECTIONS = {name.split(".")[0] for name in known_keys()}
ANY = "serve.x"
"""How the page on operations writes any setting of the server."""
FILES = re.compile(r"\.(toml|py|md|yaml|json|txt|csv|log|html)$")


def codes(page: Path) -> set[str]:
    """Collect what a page sets as code, within a line."""
    prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    return set(re.findall(r"`([^`\n]+)`", prose))


@cache
def metrics() -> frozenset[str]:
    """Name every metric, and what a histogram makes of its name."""
    names = {metric.name for metric in CATALOG}
    parts = {name + part for name in names for part in ("_bucket", "_sum", "_count")}
    return frozenset(names | parts)


@pages
def test_metrics(page: Path) -> None:
    """Every metric of ours that a page names in its prose is in the catalogue; a recorded series has a colon."""
    named = {name for code in codes(page) for name in re.findall(r"\blightmeter_[a-z0-9_]+\b(?![*{:/-])", code) if name[-1] != "_"}  # fmt: skip

    assert [] == sorted(named - metrics())


@pages
def test_settings(page: Path) -> None:
    """Every setting that a page names in its prose is one that there is."""
    if page.name == "architecture.md":
        return  # there it is modules that are named so
    named = {code for code in codes(page) - {ANY} if re.fullmatch(r"[a-z]+\.[a-z_]+", code) and code.split(".")[0] in SECTIONS and not FILES.search(code)}  # fmt: skip

    assert [] == sorted(named - set(known_keys()))


@cache
def alerts() -> frozenset[str]:
    """Name every alert of every pack, with a budget too."""
    slo = Slo(money=Money(monthly_budget=1000))
    return frozenset(rule.name for name in packs.PACKS for group in packs.make(name, slo).groups for rule in group.rules)  # fmt: skip


@pages
def test_alerts(page: Path) -> None:
    """Every alert of ours that a page names is one that there is."""
    named = set(re.findall(r"\bLightmeter[A-Z]\w+", page.read_text()))

    assert [] == sorted(named - alerts())


def commands(page: Path) -> Iterator[list[str]]:
    """Yield our commands that stand behind a prompt, above what they print."""
    for block in re.findall(r"```(?:console|text)\n(.*?)```", page.read_text(), flags=re.DOTALL):
        for line in block.replace("\\\n", "").splitlines():
            if line.startswith(f"{PROMPT}lightmeter "):
                yield shlex.split(line.removeprefix(PROMPT).split(" #")[0])[1:]


@pages
def test_prompted(page: Path) -> None:
    """Each of our commands behind a prompt parses: it and its options exist."""
    for line in commands(page):
        command: click.Command = cli.root
        rest = list(line)
        while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
            found = command.get_command(click.Context(command), rest.pop(0))
            assert found is not None, line
            command = found
        command.make_context("x", rest)
