"""Claims of cost and speed: what a TOML file states, before anybody has checked it."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from lightmeter.errors import PlanError, explain, nearest


TOLERANCE = 0.05
"""Two figures that differ by no more than this share of the computed one agree: room for rounding."""
RATIOS = ("utilization", "utilization_before", "utilization_after", "saving")
"""Figures that cannot leave 0..1."""
TEXTS = ("claim", "source", "kind", "gpu")
_MAY_BE_ZERO = ("cold_start_seconds", "idle_timeout_seconds", "saving", "tolerance")


@dataclass(frozen=True)
class Claim:
    """One stated thing: its words, who says it, and its figures by name; ``gpu`` is '' where none is."""

    claim: str
    source: str
    kind: str
    gpu: str
    figures: Mapping[str, float]
    tolerance: float
    where: str
    """Its place in its file, for messages."""


@dataclass(frozen=True)
class Form:
    """Figures that can be checked against each other: what must be given and what may be.

    ``stated`` is the figure that the others are checked against.
    """

    kind: str
    stated: str
    needs: tuple[str, ...]
    may: Mapping[str, float]

    @property
    def keys(self) -> frozenset[str]:
        """Every figure that a claim of this form may give."""
        return frozenset((self.stated, *self.needs, *self.may))

    def fits(self, given: Iterable[str]) -> bool:
        """Say whether a claim that gives these is of this form."""
        return {self.stated, *self.needs} <= set(given) <= self.keys


def builtin() -> list[dict[str, Any]]:
    """Read the founding articles' claims, which ship with the planner."""
    text = resources.files("planner").joinpath("data/claims.toml").read_text("utf-8")
    found: list[dict[str, Any]] = tomllib.loads(text)["claim"]
    return found


def load(path: Path) -> list[dict[str, Any]]:
    """Read the ``[[claim]]`` tables of a file.

    Raises:
        PlanError: it cannot be read, or holds none.
    """
    name = f"claims {str(path)!r}"
    try:
        document = tomllib.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise PlanError(f"{name} {explain(error)}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PlanError(f"{name} is no TOML ({' '.join(str(error).split())})") from error
    found = document.get("claim")
    if set(document) != {"claim"} or not isinstance(found, list) or not found:
        other = sorted(set(document) - {"claim"})
        had = f"; it has {', '.join(map(repr, other[:5]))}" if other else ""
        raise PlanError(f"{name} must hold [[claim]] tables and nothing else{had}")
    return found


def parse(table: object, where: str, kinds: Mapping[str, tuple[Form, ...]]) -> tuple[Claim, Form]:
    """Read one table, and find the form that it has.

    Raises:
        PlanError: naming the place, the key and the value.
    """
    if not isinstance(table, dict):
        raise PlanError(f"{where} is {table!r}; write it as a [[claim]] table")
    for name in ("claim", "kind"):
        if name not in table:
            raise PlanError(f"{where}: {name} is missing; every claim has one")
    texts = {name: _text(name, table[name], where) for name in TEXTS if name in table}
    kind = texts["kind"]
    if kind not in kinds:
        raise PlanError(f"{where}: kind is {kind!r}{nearest(kind, kinds)}; it must be one of {', '.join(kinds)}")  # fmt: skip
    figures = {
        name: _number(name, value, where) for name, value in table.items() if name not in TEXTS
    }
    tolerance = figures.pop("tolerance", TOLERANCE)
    form = _form(kinds[kind], {*figures, *(["gpu"] if "gpu" in texts else [])}, where)
    claim = Claim(
        claim=texts["claim"],
        source=texts.get("source", where),
        kind=kind,
        gpu=texts.get("gpu", ""),
        figures={**form.may, **figures},
        tolerance=tolerance,
        where=where,
    )
    return claim, form


def _form(forms: tuple[Form, ...], given: set[str], where: str) -> Form:
    for form in forms:
        if form.fits(given):
            return form
    known = sorted({key for form in forms for key in form.keys})
    for name in sorted(given - set(known)):
        raise PlanError(f"{where}: {name!r} is no figure of this kind{nearest(name, known)}; see 'lightmeter plan audit --help'")  # fmt: skip
    best = max(forms, key=lambda form: (len(given & form.keys) - len(given - form.keys), -len(form.needs)))  # fmt: skip
    missing = [name for name in (*best.needs, best.stated) if name not in given]
    if missing:
        raise PlanError(f"{where}: {missing[0]!r} is missing; nothing can be computed without it")
    extra = sorted(given - best.keys)
    raise PlanError(f"{where}: {extra[0]!r} goes with none of the other figures; leave it out")


def _text(name: str, value: object, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise PlanError(f"{where}: {name} is {value!r}; it must be text")
    return value


def _number(name: str, value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise PlanError(f"{where}: {name} is {value!r}; it must be a number")
    if value < 0 or (value == 0 and name not in _MAY_BE_ZERO):
        raise PlanError(f"{where}: {name} is {value}; it must be above 0")
    if name in RATIOS and value > 1:
        raise PlanError(f"{where}: {name} is {value}; it is a ratio from 0 to 1, 28 % is 0.28")
    return float(value)
