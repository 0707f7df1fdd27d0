"""Operators between scalars and vectors, and how two vectors' series find each other. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from promql_parser import BinModifier, LabelModifierType, VectorMatchCardinality

from lightmeter.errors import QueryError
from lightmeter.localprom.frame import Bools, Floats, Frame, grouped, merged, stacked
from lightmeter.localprom.labels import NAME, Labels, changed, nameless, only, show, without


ARITHMETIC: dict[str, Callable[[Floats, Floats], Floats]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "%": np.fmod,
    "^": np.power,
    "atan2": np.arctan2,
}
COMPARISONS: dict[str, Callable[[Floats, Floats], Bools]] = {
    "==": np.equal,
    "!=": np.not_equal,
    ">": np.greater,
    "<": np.less,
    ">=": np.greater_equal,
    "<=": np.less_equal,
}
SETS = frozenset(["and", "or", "unless"])


@dataclass(frozen=True)
class Matching:
    """How series find each other: by ``labels`` only (``on``) or by all others (ignoring).

    ``many`` is the side that may have several: "", "left" or "right"; ``include`` are the labels
    that the other side gives.
    """

    labels: frozenset[str] = frozenset()
    on: bool = False
    many: str = ""
    include: tuple[str, ...] = ()

    def key(self, labels: Labels) -> Labels:
        """Say what a series is found by."""
        if self.on:
            return only(labels, self.labels)
        return without(labels, self.labels | {NAME})


def scalars(operator: str, left: Floats, right: Floats) -> Floats:
    """Work on two numbers for each step; a comparison gives 0 or 1."""
    if operator in COMPARISONS:
        return COMPARISONS[operator](left, right).astype(np.float64)
    return ARITHMETIC[operator](left, right)


def with_scalar(operator: str, frame: Frame, scalar: Floats, *, swapped: bool, boolean: bool) -> Frame:  # fmt: skip
    """Work on each series and a number; ``swapped`` where the number stands on the left."""
    number = np.broadcast_to(scalar, frame.values.shape)
    left, right = (number, frame.values) if swapped else (frame.values, number)
    if operator in COMPARISONS and not boolean:
        return frame.masked(COMPARISONS[operator](left, right))
    return Frame(frame.labels, scalars(operator, left, right), frame.there).relabelled(nameless)


def sets(operator: str, left: Frame, right: Frame, matching: Matching) -> Frame:
    """Keep series by whether the other side has one like it."""
    left_keys = [matching.key(labels) for labels in left.labels]
    right_keys = [matching.key(labels) for labels in right.labels]
    if operator == "or":
        rest = right.masked(~_anywhere(left, left_keys, right_keys))
        return merged(stacked([left, rest], left.steps))
    other = _anywhere(right, right_keys, left_keys)
    return left.masked(other if operator == "and" else ~other)


def _anywhere(frame: Frame, keys: list[Labels], wanted: list[Labels]) -> Bools:
    """Say for each wanted key and step whether any of the frame's series with it is there."""
    known = {key: frame.there[rows].any(axis=0) for key, rows in grouped(keys).items()}
    nowhere = np.zeros(frame.steps, bool)
    found = [known.get(key, nowhere) for key in wanted]
    return np.array(found, bool).reshape(len(wanted), frame.steps)


def vectors(operator: str, left: Frame, right: Frame, matching: Matching, *, boolean: bool) -> Frame:  # fmt: skip
    """Work on pairs of series.

    Raises:
        QueryError: a series finds more than one where only one may be.
    """
    many, one = (right, left) if matching.many == "right" else (left, right)
    many_keys = [matching.key(labels) for labels in many.labels]
    one_rows = grouped([matching.key(labels) for labels in one.labels])
    _single(one, one_rows, many, "left" if matching.many == "right" else "right")
    pairs = [(row, other) for row, key in enumerate(many_keys) for other in one_rows.get(key, ())]
    rows, others = _index(pairs, 0), _index(pairs, 1)
    sides = (many.values[rows], one.values[others])
    values, keep = _worked(operator, sides[::-1] if matching.many == "right" else sides, boolean=boolean)  # fmt: skip
    there = many.there[rows] & one.there[others] & keep
    if not matching.many:
        _explicit([many_keys[row] for row, _ in pairs], there)
    drop = boolean or operator in ARITHMETIC
    labels = [_result(many.labels[row], one.labels[other], matching, drop=drop) for row, other in pairs]  # fmt: skip
    return merged(Frame(labels, values, there))


def _index(pairs: list[tuple[int, int]], side: int) -> list[int]:
    return [pair[side] for pair in pairs]


def _worked(operator: str, sides: tuple[Floats, ...], *, boolean: bool) -> tuple[Floats, Bools]:
    left, right = sides
    if operator in COMPARISONS and not boolean:
        return left, COMPARISONS[operator](left, right)
    return scalars(operator, left, right), np.ones(left.shape, bool)


def _single(one: Frame, rows: dict[Labels, list[int]], many: Frame, side: str) -> None:
    asked = many.there.any(axis=0)
    for key, members in rows.items():
        if len(members) > 1 and (one.there[members].sum(axis=0) * asked).max(initial=0) > 1:
            raise QueryError(f"found duplicate series for the match group {show(key)} on the {side} hand-side of the operation; many-to-many matching not allowed: matching labels must be unique on one side")  # fmt: skip


def _explicit(keys: list[Labels], there: Bools) -> None:
    for key, members in grouped(keys).items():
        if len(members) > 1 and there[members].sum(axis=0).max(initial=0) > 1:
            raise QueryError(f"multiple matches for labels {show(key)}: many-to-one matching must be explicit (group_left/group_right)")  # fmt: skip


def _result(many: Labels, one: Labels, matching: Matching, *, drop: bool) -> Labels:
    labels = nameless(many) if drop else many
    if not matching.many:
        return only(labels, matching.labels) if matching.on else without(labels, matching.labels)
    if not matching.include:
        return labels
    given = dict(one)
    return changed(labels, {name: given.get(name, "") for name in matching.include})


def matching_of(modifier: BinModifier | None) -> Matching:
    """Read how an operator says it.

    Raises:
        QueryError: it fills in what has no match, which is not known here.
    """
    if modifier is None:
        return Matching()
    fill = modifier.fill_values
    if fill.lhs is not None or fill.rhs is not None:
        raise QueryError("fill values of operators are not supported; use --prometheus for them")
    labels = modifier.matching
    left, right = VectorMatchCardinality.ManyToOne, VectorMatchCardinality.OneToMany
    side = "left" if modifier.card == left else "right" if modifier.card == right else ""
    on = labels is not None and labels.type == LabelModifierType.Include
    return Matching(frozenset(labels.labels if labels else ()), on, side, tuple(modifier.group_labels or ()))  # fmt: skip
