"""Each message that the page of troubles quotes is one that the code says."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from itertools import chain
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
GAP = "…"
ROOMS = ("lightmeter", "inference", "exporter", "alerts", "planner", "dashboards")
QUOTED = sorted({text for text in re.findall(r"`([^`\n]+)`", PAGE) if " " in text and not text.startswith(("lightmeter ", "make ", "GET", "POST", "PUT", "DELETE", "admin =", "replay ", "hostPID", "lspci ", "honorLabels", "--"))})  # fmt: skip
"""Code with a space in it that is neither a command nor a route."""


@cache
def said() -> str:
    """Join every text of the code, values as gaps, and the Makefile's."""
    texts = [(ROOT / "Makefile").read_text()]
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            texts += strings(ast.parse(path.read_text()))
    return "\n".join(texts)


def strings(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = (one.value if isinstance(one, ast.Constant) else GAP for one in node.values)
            yield "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield re.sub(r"%[srd]", GAP, node.value)


def test_found() -> None:
    """The page quotes messages, and a message that nobody says would be noticed."""
    assert len(QUOTED) > 25
    assert "the moon is full" not in said()


@pytest.mark.parametrize("message", QUOTED)
def test_said(message: str) -> None:
    """A message is found in the code as it is quoted."""
    whole = [part for part in message.split(GAP) if part.strip(" :;,.()")]

    assert whole
    assert any(all(part in text for part in whole) for text in said().split("\n"))


def test_options_named() -> None:
    """Every option that the page names is one of a command."""
    commands = (ROOT / "docs" / "commands.md").read_text()
    named = set(chain.from_iterable(re.findall(r"--[a-z][a-z-]+", code) for code in re.findall(r"`([^`\n]+)`", PAGE)))  # fmt: skip

    assert [] == sorted(option for option in named if option not in commands)
