"""The words of the report in English and Chinese: one table of texts, and how numbers are written."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Any

from lightmeter.units import show_bytes, show_duration, show_ratio


CODES = ("en", "zh")
_HOLE = re.compile(r"\\\{(\w+)\\\}")
_LETTER = re.compile("[A-Za-z]")
_DEEPEST = 6
Phrase = tuple[tuple[str, ...], re.Pattern[str], str]
"""What a sentence must hold literally (quick to tell), its pattern, and the Chinese."""


@functools.cache
def table() -> Mapping[str, Any]:
    """Read `planner/data/texts.toml`: ``text`` by key and language, ``said`` pairs of sentences."""
    raw = resources.files("planner").joinpath("data/texts.toml").read_text(encoding="utf-8")
    return tomllib.loads(raw)


@functools.cache
def phrases() -> tuple[Phrase, ...]:
    """What plan.json says in English, as patterns, each with its Chinese; the most certain first."""
    pairs = sorted(table()["said"], key=lambda pair: -len(re.sub(r"\{\w+\}", "", pair[0])))
    return tuple((tuple(re.split(r"\{\w+\}", english)), _pattern(english), chinese) for english, chinese in pairs)  # fmt: skip


def _pattern(english: str) -> re.Pattern[str]:
    holes = _HOLE.sub(lambda hole: f"(?P<{hole[1]}>{_HOLES.get(hole[1].rstrip('2345'), '.+?')})", re.escape(english))  # fmt: skip
    return re.compile(holes, re.DOTALL)


_HOLES = {"n": r"[-+]?[\d,.]+(?:e[-+]?\d+)?", "c": r"[A-Z]{3}", "all": r".+\.", "sku": r"\S+"}
"""Holes of these names take numbers, currencies, whole sentences, or a word; others take any text."""


class Language:
    """Writes texts in one language.

    What a person typed (names of services, paths, models) stays what it is; so does a sentence of
    plan.json that the table does not have.
    """

    def __init__(self, code: str = "en") -> None:
        self.code = code
        self._known: dict[str, str] = {}

    def __call__(self, key: str, /, **values: object) -> str:
        """Return a text of the table, its holes filled."""
        return str(table()["text"][key][self.code]).format(**values)

    def said(self, sentence: object) -> str:
        """Return a sentence that plan.json says, in this language."""
        text = str(sentence)
        if self.code == "en" or not _LETTER.search(text):
            return text
        if text not in self._known:
            found = _chinese(text, 0)
            self._known[text] = text if found is None else found
        return self._known[text]

    def knows(self, sentence: object) -> bool:
        """Tell whether the table has a sentence."""
        return self.code == "en" or _chinese(str(sentence), 0) is not None

    def duration(self, seconds: float) -> str:
        """Write a time."""
        return self.said(show_duration(seconds))

    def ratio(self, share: float) -> str:
        """Write a share as a percentage."""
        return show_ratio(share)

    def size(self, count: float | None) -> str:
        """Write bytes, which may be unknown."""
        return self("unknown") if count is None else show_bytes(count)

    def gpus(self, count: int) -> str:
        """Count GPUs."""
        return self("gpu" if count == 1 else "gpus", count=f"{count:,}")

    def yes(self, holds: object) -> str:
        """Write whether something holds."""
        return self("yes" if holds else "no")

    def sentence(self, said: object) -> str:
        """Write what plan.json says as a sentence: a capital first, a full stop last."""
        text = self.said(said).rstrip(".。")
        return f"{text[:1].upper()}{text[1:]}{self('stop')}"

    def moment(self, iso: str) -> str:
        """Write an ISO time to the minute."""
        return iso[:16].replace("T", " ")


def money(amount: float) -> str:
    """Write an amount, without its currency."""
    return f"{amount:,.2f}"


@functools.lru_cache(maxsize=8192)
def _chinese(text: str, depth: int) -> str | None:
    """Translate by the table: whole, else sentence by sentence, else part by part."""
    if depth > _DEEPEST:
        return None
    if not _LETTER.search(text):
        return text
    for literal, pattern, chinese in phrases():
        if not (text.startswith(literal[0]) and text.endswith(literal[-1])):
            continue
        match = pattern.fullmatch(text) if all(part in text for part in literal) else None
        if match:
            holes = {name: _chinese(hole, depth + 1) or hole for name, hole in match.groupdict().items()}  # fmt: skip
            return chinese.format(**holes)
    for mark, joint in ((". ", "。"), ("; ", "\uff1b"), (", ", "、"), (" and ", " 和 ")):
        parts = [_chinese(part, depth + 1) for part in text.split(mark)]
        if len(parts) > 1 and all(part is not None for part in parts):
            return joint.join(part.rstrip("。") for part in parts if part) + ("。" if mark == ". " else "")  # fmt: skip
    small = text[0].lower() + text[1:]
    return None if small == text else _chinese(small, depth + 1)
