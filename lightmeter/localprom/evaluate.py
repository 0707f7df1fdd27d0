"""PromQL: what an expression is worth at one moment, or at each step of a range. Pure.

All steps are evaluated at once: a vector is a `Frame`, a scalar an array with a number for each
step. The tree is promql-parser's. What is not known here is refused by name.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, replace
from datetime import timedelta

import numpy as np
from promql_parser import (
    AggModifierType,
    AggregateExpr,
    AtModifier,
    AtModifierType,
    BinaryExpr,
    BinModifier,
    Call,
    Expr,
    MatrixSelector,
    NumberLiteral,
    ParenExpr,
    StringLiteral,
    SubqueryExpr,
    UnaryExpr,
    VectorSelector,
)

from lightmeter.errors import QueryError
from lightmeter.localprom import aggregate, binary, functions, windows
from lightmeter.localprom.frame import Bools, Floats, Frame, Ints, one_row, room
from lightmeter.localprom.labels import Labels, nameless
from lightmeter.localprom.selectors import conditions
from lightmeter.localprom.store import Series, Store, stale
from lightmeter.localprom.windows import Windows


Value = Floats | Frame | str
MOST_INNER_STEPS = 1_000_000


@dataclass(frozen=True)
class Options:
    """How to read the past; ``newer`` is Prometheus 3, whose ranges exclude their beginning."""

    lookback_ms: int = 300_000
    inner_step_ms: int = 60_000
    newer: bool = True
    until: float = math.inf
    """When whoever asked waits no longer, monotonic seconds."""


@dataclass(frozen=True)
class Evaluation:
    """An expression's surroundings: ``times`` are the steps in Unix milliseconds."""

    store: Store
    times: Ints
    options: Options = field(default_factory=Options)
    begin_ms: int = 0
    end_ms: int = 0

    def value(self, tree: Expr) -> Value:  # noqa: PLR0911 (one for each kind of expression)
        """Evaluate.

        Raises:
            QueryError: it cannot be evaluated, or not here.
        """
        self.hurry()
        match tree:
            case NumberLiteral():
                return np.full(len(self.times), float(tree.val))
            case StringLiteral():
                return str(tree.val)
            case ParenExpr():
                return self.value(tree.expr)
            case UnaryExpr():
                return self._negative(self.value(tree.expr))
            case VectorSelector():
                return self.instant(tree)[0]
            case Call():
                return functions.call(self, tree)
            case AggregateExpr():
                return self._aggregate(tree)
            case BinaryExpr():
                return self._binary(tree)
            case _:
                raise QueryError(f"{type(tree).__name__} gives a range of samples where a value is wanted: {tree}")  # fmt: skip

    def hurry(self) -> None:
        """Look whether there is time left.

        Raises:
            QueryError: there is none.
        """
        if time.monotonic() > self.options.until:
            raise QueryError("the query takes too long; ask for a shorter range, a longer step or fewer series")  # fmt: skip

    def frame(self, tree: Expr) -> Frame:
        """Evaluate to a vector."""
        value = self.value(tree)
        if not isinstance(value, Frame):
            raise QueryError(f"an instant vector is wanted where {tree} stands")
        return value

    def scalar(self, tree: Expr) -> Floats:
        """Evaluate to a number for each step."""
        value = self.value(tree)
        if not isinstance(value, np.ndarray):
            raise QueryError(f"a number is wanted where {tree} stands")
        return value

    def text(self, tree: Expr) -> str:
        """Evaluate to a string."""
        value = self.value(tree)
        if not isinstance(value, str):
            raise QueryError(f"a string is wanted where {tree} stands")
        return value

    @staticmethod
    def _negative(value: Value) -> Value:
        if isinstance(value, Frame):
            return Frame(value.labels, -value.values, value.there).relabelled(nameless)
        if isinstance(value, str):
            raise QueryError(f"a string cannot be negative: {value!r}")
        return -value

    def ends(self, offset: timedelta | None, at: AtModifier | None) -> Ints:
        """Say for each step what moment is looked at."""
        moments = self.times
        if at is not None:
            moments = np.full_like(self.times, self._pinned(at))
        return moments - (round(offset / timedelta(milliseconds=1)) if offset else 0)

    def _pinned(self, at: AtModifier) -> int:
        if at.type == AtModifierType.Start:
            return self.begin_ms
        if at.type == AtModifierType.End:
            return self.end_ms
        return round(float(str(at).removeprefix("@ ")) * 1000)

    def series(self, selector: VectorSelector) -> list[Series]:
        """Find what a selector means."""
        return self.store.select(conditions(selector))

    def instant(self, selector: VectorSelector) -> tuple[Frame, Floats]:
        """Look up the newest sample of each series; also when it was taken, Unix seconds."""
        ends = self.ends(selector.offset, selector.at)
        found = self.series(selector)
        values, there = room(len(found), len(ends))
        moments = np.zeros_like(values)
        for row, series in enumerate(found):
            times, samples = series.read()
            values[row], there[row], taken = self._newest(times, samples, ends)
            moments[row] = taken / 1000
        seen = [int(row) for row in np.flatnonzero(there.any(axis=1))]
        frame = Frame([series.labels for series in found], values, there)
        return frame.rows(seen), moments[seen]

    def _newest(self, times: Ints, values: Floats, ends: Ints) -> tuple[Floats, Bools, Ints]:
        if not len(times):
            return np.zeros(len(ends)), np.zeros(len(ends), bool), ends
        last = np.searchsorted(times, ends, side="right") - 1
        there = last >= 0
        last = np.maximum(last, 0)
        age = ends - times[last]
        there &= age < self.options.lookback_ms + (0 if self.options.newer else 1)
        return values[last], there & ~stale(values[last]), times[last]

    def ranges(self, tree: Expr) -> list[tuple[Labels, Windows]]:
        """Cut the samples of each series into a window for each step."""
        while isinstance(tree, ParenExpr):
            tree = tree.expr
        if isinstance(tree, MatrixSelector):
            return self._matrix(tree)
        if isinstance(tree, SubqueryExpr):
            return self._subquery(tree)
        raise QueryError(f"a range of samples, like {tree}[5m], is wanted where {tree} stands")

    def _matrix(self, tree: MatrixSelector) -> list[tuple[Labels, Windows]]:
        selector = tree.vector_selector
        ends, span = self.ends(selector.offset, selector.at), _milliseconds(tree.range)
        begin, end = int(ends.min()) - span, int(ends.max())
        return [(series.labels, self._cut(_fresh(*series.read(begin, end)), ends, span)) for series in self.series(selector)]  # fmt: skip

    def _cut(self, samples: tuple[Ints, Floats], ends: Ints, span: int) -> Windows:
        times, values = samples
        low = np.searchsorted(times, ends - span, side="right" if self.options.newer else "left")
        high = np.searchsorted(times, ends, side="right")
        return Windows(times, values, low, high, ends, self.times, span, self.options.newer)

    def _subquery(self, tree: SubqueryExpr) -> list[tuple[Labels, Windows]]:
        ends, span = self.ends(tree.offset, tree.at), _milliseconds(tree.range)
        step = _milliseconds(tree.step) if tree.step else self.options.inner_step_ms
        if not len(ends):
            return []
        begin = int(ends.min()) - span
        first = (begin // step + 1 if self.options.newer else -(-begin // step)) * step
        many = (int(ends.max()) - first) // step + 1
        if many > MOST_INNER_STEPS:
            raise QueryError(f"subquery {tree} has {many} steps; {MOST_INNER_STEPS} are allowed; give it a longer step")  # fmt: skip
        steps = np.arange(first, int(ends.max()) + 1, step, dtype=np.int64)
        inner = replace(self, times=steps).value(tree.expr)
        frame = one_row((), inner) if isinstance(inner, np.ndarray) else inner
        if isinstance(frame, str):
            raise QueryError("a subquery of a string has no samples")
        return [(labels, self._cut((steps[there], values[there]), ends, span)) for labels, values, there in zip(frame.labels, frame.values, frame.there, strict=True)]  # fmt: skip

    def windowed(self, name: str, tree: Expr, parameters: list[Floats]) -> Frame:
        """Work on the window of each series at each step."""
        function, ranges = windows.FUNCTIONS[name], self.ranges(tree)
        values, there = room(len(ranges), len(self.times))
        for row, (_, each) in enumerate(ranges):
            self.hurry()
            if len(each.times):
                values[row], there[row] = function(each, parameters)
        seen = [int(row) for row in np.flatnonzero(there.any(axis=1))]
        frame = Frame([labels for labels, _ in ranges], values, there).rows(seen)
        return frame if name in windows.KEEPS_NAME else frame.relabelled(nameless)

    def _aggregate(self, tree: AggregateExpr) -> Frame:
        frame, operator = self.frame(tree.expr), str(tree.op)
        names = tree.modifier.labels if tree.modifier else []
        by = tree.modifier is None or tree.modifier.type == AggModifierType.By
        groups = aggregate.keys(frame, names, by=by)
        if operator in ("topk", "bottomk"):
            return aggregate.best(frame, groups, self.scalar(_given(tree)), largest=operator == "topk")  # fmt: skip
        if operator == "quantile":
            return aggregate.quantiles(frame, groups, self.scalar(_given(tree)))
        if operator == "count_values":
            return aggregate.count_values(frame, groups, self.text(_given(tree)))
        return aggregate.simple(operator, frame, groups)

    def _binary(self, tree: BinaryExpr) -> Value:
        operator, modifier = str(tree.op), tree.modifier
        boolean = bool(modifier and modifier.return_bool)
        left, right = self.value(tree.lhs), self.value(tree.rhs)
        if isinstance(left, str) or isinstance(right, str):
            raise QueryError(f"operator {operator} does not take strings: {tree}")
        if isinstance(left, Frame) and isinstance(right, Frame):
            return self._vectors(operator, (left, right), modifier)
        known = operator in binary.ARITHMETIC or operator in binary.COMPARISONS
        if not known:
            raise QueryError(f"operator {operator} does not work on these operands: {tree}")
        if isinstance(left, Frame):
            return binary.with_scalar(operator, left, _number(right), swapped=False, boolean=boolean)  # fmt: skip
        if isinstance(right, Frame):
            return binary.with_scalar(operator, right, _number(left), swapped=True, boolean=boolean)
        return binary.scalars(operator, left, right)

    @staticmethod
    def _vectors(operator: str, sides: tuple[Frame, Frame], modifier: BinModifier | None) -> Frame:
        matching = binary.matching_of(modifier)
        if operator in binary.SETS:
            return binary.sets(operator, *sides, matching)
        if operator not in binary.ARITHMETIC and operator not in binary.COMPARISONS:
            raise QueryError(f"operator {operator!r} is not supported; use --prometheus for it")
        boolean = bool(modifier and modifier.return_bool)
        return binary.vectors(operator, *sides, matching, boolean=boolean)


def _number(value: Value) -> Floats:
    if not isinstance(value, np.ndarray):
        raise QueryError("a number is wanted beside a vector")
    return value


def _given(tree: AggregateExpr) -> Expr:
    if not isinstance(tree.param, Expr):
        raise QueryError(f"aggregation {tree.op} wants a parameter")
    return tree.param


def _fresh(times: Ints, values: Floats) -> tuple[Ints, Floats]:
    marks = stale(values)
    return (times[~marks], values[~marks]) if marks.any() else (times, values)


def _milliseconds(duration: timedelta | None) -> int:
    return round(duration / timedelta(milliseconds=1)) if duration else 0
